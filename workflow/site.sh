#!/bin/sh
# workflow/site.sh JUPYTER_BOOK: the site in _build/html, from a copy of the book with the executed notebooks of _build in place
# of the bare ones. It is built beside its place: a build that is killed has written index.html first, and would pass for whole.
set -eu
checkout=$(cd "$(dirname "$0")/.." && pwd)

rm -rf _build/stage _build/made
if [ ! -e _build/html ] && [ -e _build/html.before ]; then mv _build/html.before _build/html; fi  # killed between two lines below
mkdir -p _build/stage/notebooks
(cd "$checkout" && tar cf - _config.yml _toc.yml CHANGELOG.md CITATION.cff book) | tar xf - -C _build/stage
for notebook in "$checkout"/notebooks/*.ipynb "$checkout"/book/*.ipynb; do
    [ -e "$notebook" ] || continue
    page=$(basename "$(dirname "$notebook")")/$(basename "$notebook")
    cp "_build/$page" "_build/stage/$page"
done
# What the explorer's page loads; a page that failed has left none.
for set in _build/pca_sets/*.js; do
    if [ -e "$set" ]; then cp "$set" _build/stage/book/assets/; fi
done
"$1" build _build/stage --path-output _build/made -W --keep-going -q >/dev/null
touch _build/made/_build/html/index.html
rm -rf _build/html.before
if [ -e _build/html ]; then mv _build/html _build/html.before; fi
mv _build/made/_build/html _build/html
rm -rf _build/html.before
