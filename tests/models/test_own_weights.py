"""Checkpoints as people have them: the official DINOv2 layout, wrappers, other image sizes, heads, whole trainers."""

import argparse
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.models import densenet121, vgg11

from radlib.errors import RadlibError
from radlib.models import backbones, hub, own_weights

TINY = {"embed_dim": 24, "depth": 2, "num_heads": 2}
DINOV2 = ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_giant_patch14_dinov2"]


def _network(name, **options):
    torch.manual_seed(1)
    return timm.create_model(name, num_classes=0, **(TINY if name.startswith("vit") else {}), **options).eval()


def _official(name: str) -> dict[str, Tensor]:
    """Random weights under the names and in the shapes of Meta's own files for a small copy of `name`."""
    torch.manual_seed(0)
    state = {key: torch.randn_like(value) / 10 for key, value in _network(name).state_dict().items()}
    state["mask_token"] = torch.zeros(1, 24)
    if "reg_token" in state:
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.cat([torch.randn(1, 1, 24), state["pos_embed"]], dim=1)  # of the class token
    return {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3") if "giant" in name else key: value
            for key, value in state.items()}  # fmt: skip


def _answer(module, side=518):
    torch.manual_seed(2)
    with torch.inference_mode():
        return module.forward_features(torch.randn(1, 3, side, side))


def _saved(path: Path, content) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", DINOV2)
def test_the_official_layout_answers_as_after_timms_own_conversion(tmp_path, name, capsys):
    official = _official(name)
    overlay = {"state_dict": dict(official), "num_classes": 0}
    expected = _answer(_network(name, pretrained=True, pretrained_cfg_overlay=overlay))
    loaded = own_weights.load(_saved(tmp_path / "x.pth", official), _network(name))
    torch.testing.assert_close(_answer(loaded), expected, atol=1e-5, rtol=0)
    without = {key: value for key, value in official.items() if key != "mask_token"}
    loaded = own_weights.load(_saved(tmp_path / "y.pth", without), _network(name))
    torch.testing.assert_close(_answer(loaded), expected, atol=1e-5, rtol=0)
    assert capsys.readouterr().out == ""  # a mask token is no part of what answers


def test_retrained_dinov2_has_its_blocks_in_chunks_and_heads_beside_them(tmp_path, capsys):
    name = DINOV2[0]
    official = _official(name)
    teacher = {f"backbone.{key.replace('blocks.', 'blocks.0.')}": value for key, value in official.items()}
    teacher |= {"dino_head.mlp.0.weight": torch.ones(2, 2), "ibot_head.last_layer.weight_g": torch.ones(2)}
    student = {f"backbone.{key}": value + 1 for key, value in official.items()}
    path = _saved(tmp_path / "t.pth", {"student": student, "teacher": teacher, "epoch": 3})
    expected = _answer(own_weights.load(_saved(tmp_path / "x.pth", official), _network(name)))
    torch.testing.assert_close(_answer(own_weights.load(path, _network(name))), expected)
    assert capsys.readouterr().out == (
        "t.pth: only the weights under 'teacher.backbone' are used, "
        "without student, teacher.dino_head, teacher.ibot_head.\n"
    )


@pytest.mark.parametrize("name", DINOV2[:2])
def test_a_position_embedding_without_the_class_token_leaves_that_token_as_it_is(tmp_path, name):
    official = _official(name)
    official["pos_embed"][:, 0] = 0
    without = official | {"pos_embed": official["pos_embed"][:, 1:]}
    expected = _answer(own_weights.load(_saved(tmp_path / "x.pth", official), _network(name)))
    loaded = own_weights.load(_saved(tmp_path / "y.pth", without), _network(name))
    torch.testing.assert_close(_answer(loaded), expected)


def _inside(state: dict[str, Tensor], wrapper: str) -> dict[str, Tensor]:
    """Names as those of a network whose blocks were wrapped one by one, and then the whole."""
    return {f"{wrapper}." + re.sub(r"^(\w+\.\w+\.)(?=\w+\.)", rf"\1{wrapper}.", key): value
            for key, value in state.items()}  # fmt: skip


WRAPPERS = {
    "bare": lambda state: state,
    "module.": lambda state: {f"module.{key}": value for key, value in state.items()},
    "backbone. in state_dict": lambda state: {"state_dict": {f"backbone.{key}": value for key, value in state.items()}},
    "compiled": lambda state: {"model": {f"_orig_mod.{key}": value for key, value in state.items()}},
    "two wrappers": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "encoder.": lambda state: {f"encoder.{key}": value for key, value in state.items()},
    "teacher": lambda state: {"teacher": state, "student": {key: value + 1 for key, value in state.items()}},
    "student last": lambda state: {"student": {key: value + 1 for key, value in state.items()}, "teacher": state},
    "student alone": lambda state: {"student": {f"module.{key}": value for key, value in state.items()}},
    "averaged": lambda state: {"model": {key: value + 1 for key, value in state.items()}, "model_ema": state},
    "compiled inside": lambda state: _inside(state, "_orig_mod"),
    "FSDP": lambda state: _inside(state, "_fsdp_wrapped_module"),
    "activation checkpointing": lambda state: {"model": _inside(state, "_checkpoint_wrapped_module")},
    "I-JEPA": lambda state: {"encoder": {f"module.{key}": value + 1 for key, value in state.items()},
                             "target_encoder": {f"module.{key}": value for key, value in state.items()}},
    "BYOL": lambda state: ({f"target_encoder.{key}": value + 1 for key, value in state.items()}
                           | {f"online_encoder.{key}": value for key, value in state.items()}),
    "an optimizer": lambda state: {"net": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}, "lr": 0.1}},
    "half precision": lambda state: {key: value.half() if value.is_floating_point() else value
                                     for key, value in state.items()},
}  # fmt: skip


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "resnet18", "densenet121", "efficientnet_b0"])
def test_weights_are_found_in_every_wrapper(tmp_path, name, wrapper):
    trained = _network(name).half().float()  # so that half precision loses nothing
    state = {key: value.clone() for key, value in trained.state_dict().items()}
    path = _saved(tmp_path / "x.pth", WRAPPERS[wrapper](state))
    torch.manual_seed(5)
    other = timm.create_model(name, num_classes=0, **(TINY if name.startswith("vit") else {}))
    loaded = own_weights.load(path, other).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in trained.state_dict().items())


def test_the_old_names_of_densenet_are_converted_with_counters_beside_them(tmp_path, capsys):
    trained = _network("densenet121").state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", key): value
           for key, value in trained.items()}  # fmt: skip
    path = _saved(tmp_path / "x.pth", {"state_dict": {f"module.{key}": value for key, value in old.items()}})
    loaded = own_weights.load(path, timm.create_model("densenet121", num_classes=0)).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in trained.items() if "num_batches" not in key)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "made"), [("densenet121", densenet121), ("vgg11", vgg11)])
def test_torchvisions_names_are_converted_by_timm(tmp_path, name, made):
    torch.manual_seed(0)
    theirs = made(num_classes=3).eval()
    images = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        backbone = backbones.load(f"file:{_saved(tmp_path / 'x.pth', theirs.state_dict())}={name}", 224)
        if name == "vgg11":
            expected = theirs.classifier[:5](theirs.avgpool(theirs.features(images)).flatten(1))
        else:
            expected = torch.relu(theirs.features(images)).mean(dim=(2, 3))
        torch.testing.assert_close(backbone.pooled(images), expected, atol=1e-5, rtol=1e-4)


def test_a_network_trained_at_another_size_is_used_at_it_and_resampled_as_published_at_others(tmp_path):
    torch.manual_seed(0)
    trained = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224).eval()  # 1 + 16 x 16 tokens
    name = f"file:{_saved(tmp_path / 'x.pth', trained.state_dict())}=vit_small_patch14_dinov2"
    same, smaller = backbones.load(name, 224), backbones.load(name, 112)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(same.tokens(images)[0][:, 0], trained.forward_features(images)[:, 0])
    grid = trained.pos_embed[:, 1:].reshape(1, 16, 16, 384).permute(0, 3, 1, 2)
    # facebookresearch/dinov2: bicubic by the scale (8 + 0.1) / 16, without antialiasing
    expected = interpolate(grid, scale_factor=(8.1 / 16, 8.1 / 16), mode="bicubic").permute(0, 2, 3, 1)
    torch.testing.assert_close(smaller.module.pos_embed[:, 1:], expected.reshape(1, 64, 384))
    assert same.weights_sha256 == smaller.weights_sha256


@pytest.mark.parametrize("many", [True, False], ids=["all", "one"])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda value: (value * 100).to(torch.int8), "is of type int8"),
        (lambda value: value.to(torch.complex64), "is of type complex64"),
        (lambda value: value * float("nan"), "has values that are not finite"),
        (lambda value: value + float("inf"), "has values that are not finite"),
        (lambda value: value.double() + 1e300, "has values that are not finite"),
        (lambda value: value.to_sparse(), "is no dense tensor with values"),
        (lambda value: value.to("meta"), "is no dense tensor with values"),
    ],
    ids=["int8", "complex", "NaN", "infinite", "beyond float32", "sparse", "meta"],
)
def test_weights_that_no_network_computes_with_are_one_sentence(tmp_path, change, sentence, many):
    state = _network(DINOV2[0]).state_dict()
    last = [key for key, value in state.items() if value.is_floating_point()][-1]
    state = {key: change(value) if (many and value.is_floating_point()) or key == last else value
             for key, value in state.items()}  # fmt: skip
    path = _saved(tmp_path / "x.pth", state)
    with pytest.raises(
        RadlibError, match=rf"x\.pth holds no usable weights: '[\w.]+' {sentence}; save every"
    ) as refused:
        own_weights.load(path, _network(DINOV2[0]))
    assert "\n" not in str(refused.value)


def test_files_are_read_by_what_they_hold_not_by_their_names(tmp_path):
    trained = _network("resnet18")
    for path, save in ((tmp_path / "x.pth", save_file), (tmp_path / "x.safetensors", torch.save)):
        save(trained.state_dict(), path)
        loaded = own_weights.load(path, timm.create_model("resnet18", num_classes=0))
        assert torch.equal(loaded.conv1.weight, trained.conv1.weight)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(RadlibError, match=r"does not hold the weights of this network \(\w+"):
            own_weights.load(path, trained)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize(
    ("content", "start"),
    [
        ("", r"\(it is empty,"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "'version https://git-lfs"),
        ("<!DOCTYPE html><html>", "'<!DOCTYPE html><html>'"),
    ],
)
def test_files_that_are_no_checkpoints_are_called_so(tmp_path, name, content, start):
    (tmp_path / name).write_text(content)
    with pytest.raises(RadlibError, match=rf"{start}.* unlike a file of .*download it again, with git lfs pull"):
        own_weights.load(tmp_path / name, _network("resnet18"))


def test_torchscript_is_called_so(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "x.pt")
    with pytest.raises(RadlibError, match="it is a TorchScript program; save the state_dict of its network"):
        own_weights.load(tmp_path / "x.pt", _network("resnet18"))


def test_a_file_of_an_optimizer_alone_is_not_called_another_network(tmp_path):
    path = _saved(tmp_path / "x.pth", {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]})
    with pytest.raises(RadlibError, match=r"x\.pth holds none of the weights of this .*first 'state\.0\.exp_avg'"):
        own_weights.load(path, _network("resnet18"))


def test_a_folder_of_weights_is_called_so(tmp_path):
    with pytest.raises(RadlibError, match="are a folder; name a .safetensors, .pt or .pth file"):
        own_weights.check(tmp_path)


def test_heads_of_any_size_are_left_out(tmp_path, capsys):
    trained = timm.create_model("resnet18", num_classes=7)
    loaded = own_weights.load(_saved(tmp_path / "x.pth", trained.state_dict()), _network("resnet18"))
    assert torch.equal(loaded.conv1.weight, trained.conv1.weight)
    assert capsys.readouterr().out == ""


def test_what_pretraining_added_is_left_out_and_named(tmp_path, capsys):
    state = _network("resnet18").state_dict() | {"projector.0.weight": torch.ones(2), "predictor.bias": torch.ones(2)}
    path = tmp_path / "x.SAFETENSORS"
    save_file({key: value.clone() for key, value in state.items()}, path)
    own_weights.load(path, _network("resnet18"))
    assert capsys.readouterr().out == (
        "x.SAFETENSORS: only the weights of the network are used, without predictor, projector.\n"
    )


ARGS = {"args": argparse.Namespace(lr=1)}
TRAINERS = {
    "other key": lambda trained, other: {"net": trained.state_dict()} | ARGS,
    "bare": lambda trained, other: trained.state_dict() | ARGS,
    "module": lambda trained, other: trained,
    "averaged": lambda trained, other: {"model": other.state_dict(), "model_ema": trained.state_dict()} | ARGS,
    "module in a dict": lambda trained, other: {"net": trained, "optimizer": torch.optim.Adam(trained.parameters())},
}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_whole_trainers_are_refused_with_a_command_that_saves_their_weights(tmp_path, trainer):
    trained, other = _network("resnet18"), timm.create_model("resnet18", num_classes=0)
    path = _saved(tmp_path / "x.pth", TRAINERS[trainer](trained, other))
    with pytest.raises(RadlibError, match=r"x\.pth holds [\w.]+ beside its weights") as refused:
        own_weights.load(path, _network("resnet18"))
    assert "\n" not in str(refused.value)
    command = str(refused.value).split('python -c "')[1].removesuffix('"')
    subprocess.run([sys.executable, "-c", command], check=True)
    loaded = own_weights.load(tmp_path / "x_weights.pth", _network("resnet18"))
    assert torch.equal(loaded.conv1.weight, trained.conv1.weight)


class _Opens:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_no_code_in_a_checkpoint_is_run(tmp_path):
    for k, content in enumerate((_Opens(tmp_path / "owned"), {"model": {}, "args": _Opens(tmp_path / "owned")})):
        with pytest.raises(RadlibError, match="could run code in it"):
            own_weights.load(_saved(tmp_path / f"{k}.pth", content), _network("resnet18"))
        (tmp_path / f"{k}.pth").write_bytes(pickle.dumps(content, protocol=2))
        with pytest.raises(RadlibError, match="run"):
            own_weights.load(tmp_path / f"{k}.pth", _network("resnet18"))
    assert not (tmp_path / "owned").exists()


def _half_of_the_blocks(state):
    return {key: value for key, value in state.items() if not key.startswith("blocks.1.")}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_half_of_the_blocks, r"14 are missing \(first 'blocks\.1\.norm1\.weight'\) and 0 are not part of it"),
        (lambda state: state | {"reg_token": torch.ones(1, 4, 24)}, "only one of the two has register tokens"),
        (lambda state: state | {"register_tokens": torch.ones(1, 4, 24)}, "only one of the two has register"),
        (lambda state: state | {"norm_pre.weight": torch.ones(24)}, r"1 is not part of it \(first 'norm_pre.weight'\)"),
        (lambda state: {key: value[..., :12] if value.ndim > 2 and key != "patch_embed.proj.weight" else value
                        for key, value in state.items()}, 
         r"2 have another shape, the first 'cls_token' with \(1, 1, 12\) instead"),
        (lambda state: state | {"patch_embed.proj.weight": torch.ones(24, 3, 16, 16)}, "its patches are 16 px wide"),
        (lambda state: state | {"pos_embed": torch.ones(1, 300, 24)}, "300 tokens is not that of square images"),
        (lambda state: state | {"patch_embed.proj.weight": torch.ones(24, 1, 14, 14)},
         r"instead of \(24, 3, 14, 14\); it takes images of 1 channel.s., while radlib's have 3"),
        (lambda state: {}, "it holds no tensors under names"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_one_sentence(tmp_path, change, sentence):
    path = _saved(tmp_path / "x.pth", change(dict(_network(DINOV2[0]).state_dict())))
    with pytest.raises(RadlibError, match=sentence) as refused:
        own_weights.load(path, _network(DINOV2[0]))
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400 + len(str(path))


def test_a_network_with_registers_does_not_take_one_without(tmp_path):
    path = _saved(tmp_path / "x.pth", _official(DINOV2[0]))
    with pytest.raises(RadlibError, match=r"only one of the two has register tokens\); name the timm model"):
        own_weights.load(path, _network(DINOV2[1]))


def _shorter(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def _of_resnet34(path: Path) -> None:
    save_file(timm.create_model("resnet34").state_dict(), path)


def _half(path: Path) -> None:
    save_file(dict(list(timm.create_model("resnet18").state_dict().items())[:60]), path)


@pytest.mark.parametrize("damage", [_shorter, _of_resnet34, _half])
def test_a_hub_file_that_does_not_fit_is_one_sentence(tmp_path, monkeypatch, damage):
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model("resnet18").state_dict(), path)
    monkeypatch.setattr(hub, "weights_file", lambda timm_name: path)
    assert backbones.load("timm:resnet18", 64).module.fc.weight.shape == (1000, 512)
    damage(path)
    with pytest.raises(RadlibError, match=r"model\.safetensors .*delete that file") as refused:
        backbones.load("timm:resnet18", 64)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400 + len(str(path))
