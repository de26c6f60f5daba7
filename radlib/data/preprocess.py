"""From pixels in their own units to what every backbone is fed (paper section 3.3; authors' repository)."""

import numpy as np
from PIL import Image

# Statistics of ImageNet, used for every backbone in the paper, CLIP, MAE and SAM included.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)[:, None, None]
IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)[:, None, None]

PREPROCESSING = "square bicubic antialiased (Pillow) | min-max per channel | imagenet mean std"


def model_input(pixels: np.ndarray, size: int) -> np.ndarray:
    """Image `(C, H, W)`, C 1 or 3, any range -> `(3, size, size)` float32 for a backbone.

    `unit_square`, gray repeated to three channels, then `normalised`.
    """
    return normalised(unit_square(pixels, size))


def unit_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Image `(C, H, W)`, C 1 or 3, any range -> `(C, size, size)` float32 in [0, 1].

    Resized straight to a square (bicubic, antialiased), each channel scaled from its minimum and maximum. A constant
    channel becomes 0, not NaN.
    """
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ValueError(f"pixels must be (1 or 3, H, W), got {pixels.shape}")
    # Pillow and not torch: its resizing keeps to the calling thread, where torch's would take the encoder's cores.
    box = (size, size)
    channels = [Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32)) for channel in pixels]
    square = np.stack([np.asarray(channel.resize(box, Image.Resampling.BICUBIC)) for channel in channels])
    low = square.min(axis=(1, 2), keepdims=True)
    spread = square.max(axis=(1, 2), keepdims=True) - low
    # Resizing a constant leaves rounding noise, which must not be stretched to [0, 1]: ask the pixels themselves.
    varies = np.ptp(pixels, axis=(1, 2), keepdims=True) > 0
    return np.where(varies, (square - low) / np.where(varies, spread, 1), 0).astype(np.float32, copy=False)


def normalised(square: np.ndarray) -> np.ndarray:
    """`(..., C, H, W)` in [0, 1], C 1 or 3 -> `(..., 3, H, W)` float32 less ImageNet's mean, by its deviation."""
    return ((square - IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32, copy=False)


def clip_percentiles(image: np.ndarray) -> np.ndarray:
    """Image in its own units -> float32, 0 at or below the 5th percentile, cut at the 95th (authors' repository)."""
    low, high = _percentile(image, 5), _percentile(image, 95)
    clipped = np.minimum(image, high, dtype=np.float32)
    clipped[image <= low] = 0
    return clipped


def _percentile(image: np.ndarray, q: float) -> float:
    """What `numpy.percentile` gives; of an integer image by counting its few thousand values: several times faster."""
    if image.dtype.kind == "f":
        return float(np.percentile(image, q))
    lowest = int(image.min())
    at_most = np.bincount(image.ravel().astype(np.intp) - lowest).cumsum()
    place = q / 100 * (image.size - 1)
    below, above = np.searchsorted(at_most, [int(place), int(np.ceil(place))], side="right") + lowest
    return float(below + (above - below) * (place - int(place)))
