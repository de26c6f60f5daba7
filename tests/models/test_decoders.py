import pytest
import torch
from torch.nn.functional import interpolate

from radlib.errors import RadlibError
from radlib.models import decoders
from radlib.models.decoders import LinearDecoder, UNetDecoder

WIDTH, CLASSES, GRID = 16, 3, 4


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def tokens(blocks=5, grid=GRID):
    return torch.randn(2, blocks, grid, grid, WIDTH)


def parameters(module):
    return sum(weight.numel() for weight in module.parameters())


def test_the_linear_decoder_is_one_product_a_token_and_an_enlargement():
    decoder = LinearDecoder(WIDTH, CLASSES)
    given = tokens(blocks=2)
    weight = decoder.classify.weight[:, :, 0, 0]
    logits = torch.einsum("bhwd,kd->bkhw", given[:, -1], weight) + decoder.classify.bias[:, None, None]
    expected = interpolate(logits, size=(30, 30), mode="bilinear", align_corners=False)
    torch.testing.assert_close(decoder(given, 30), expected)


def test_the_linear_decoder_begins_as_the_authors_does():
    decoder = LinearDecoder(1536, 16)
    assert decoder.classify.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not decoder.classify.bias.any()


@pytest.mark.parametrize("ending", decoders.ENDINGS)
@pytest.mark.parametrize("width, millions", [(1024, 17.2), (1536, 38.7)])
@pytest.mark.parametrize("classes", [1, 2])
def test_the_unet_decoder_has_the_papers_parameters_with_one_class_or_two(width, millions, classes, ending):
    with torch.device("meta"):
        assert round(parameters(UNetDecoder(width, classes, ending)) / 1e6, 1) == millions


@pytest.mark.parametrize("ending", decoders.ENDINGS)
@pytest.mark.parametrize("grid, size", [(1, 14), (3, 42), (4, 50)])
def test_a_mask_has_the_size_that_was_asked_for(grid, size, ending):
    for name in decoders.BLOCKS:
        decoder = decoders.make(name, WIDTH, CLASSES, ending)
        assert decoder(tokens(grid=grid), size).shape == (2, CLASSES, size, size)


def test_the_linear_decoder_reads_the_last_block_alone():
    decoder = LinearDecoder(WIDTH, CLASSES)
    given = tokens()
    torch.testing.assert_close(decoder(given, 28), decoder(given[:, -1:], 28))


@pytest.mark.parametrize("ending", decoders.ENDINGS)
@pytest.mark.parametrize("block", range(5))
def test_the_unet_decoder_reads_each_of_its_five_blocks(block, ending):
    decoder = UNetDecoder(WIDTH, CLASSES, ending).eval()
    given = tokens()
    changed = given.clone()
    changed[:, block] += 1
    assert (decoder(given, 56) - decoder(changed, 56)).abs().max() > 1e-4


def test_the_unet_decoder_reads_no_block_before_them_and_refuses_fewer():
    decoder = UNetDecoder(WIDTH, CLASSES).eval()
    given = tokens(blocks=7)
    torch.testing.assert_close(decoder(given, 56), decoder(given[:, -5:], 56))
    with pytest.raises(RadlibError, match="last 5 blocks, not of 4"):
        decoder(tokens(blocks=4), 56)


def test_a_decoder_is_blind_to_what_lies_far_from_a_pixel():
    decoder = UNetDecoder(WIDTH, CLASSES).eval()
    given = tokens(grid=12)
    changed = given.clone()
    changed[:, :, 0, 0] += 1
    moved = (decoder(given, 192) - decoder(changed, 192)).abs().amax(dim=(0, 1))
    assert moved[:16, :16].max() > 1e-4 and moved[96:, 96:].max() == 0


@pytest.mark.parametrize("ending", decoders.ENDINGS)
@pytest.mark.parametrize("name", decoders.BLOCKS)
def test_every_parameter_learns(name, ending):
    decoder = decoders.make(name, WIDTH, CLASSES, ending)
    decoder(tokens(), 56).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in decoder.parameters())


def test_the_authors_ending_cuts_off_what_is_below_zero():
    given = tokens()
    before_enlargement = UNetDecoder(WIDTH, CLASSES, "authors")(given, 16 * GRID)
    assert before_enlargement.min() == 0
    assert UNetDecoder(WIDTH, CLASSES, "plain")(given, 16 * GRID).min() < 0


def test_tokens_become_an_image_in_channels_last_without_a_copy():
    given = tokens()
    image = decoders._as_image(given[:, -1])
    assert image.data_ptr() == given[:, -1].data_ptr()
    assert image[:1].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", decoders.BLOCKS)
def test_logits_are_float32_under_autocast(name):
    decoder = decoders.make(name, WIDTH, CLASSES).to(memory_format=torch.channels_last).eval()
    given = tokens()
    exact = decoder(given, 56)
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder(given.bfloat16(), 56)
    assert logits.dtype == torch.float32
    assert (logits - exact).norm() < 0.03 * exact.norm()


def test_unknown_names_are_told():
    with pytest.raises(RadlibError, match="no decoder called 'lineal'; did you mean 'linear'"):
        decoders.make("lineal", WIDTH, CLASSES)
    with pytest.raises(RadlibError, match="no ending of the U-Net decoder called 'author'; did you mean 'authors'"):
        decoders.make("unet_decoder", WIDTH, CLASSES, "author")
