"""Which weights of a backbone learn: all, the biases alone, or low-rank additions (paper sections 3.3.1 and 4.3)."""

from typing import Literal, get_args

from torch import nn

from radlib.errors import RadlibError, unknown_name
from radlib.models.backbones import Backbone

Method = Literal["fine_tune", "bitfit", "lora"]
METHODS: tuple[Method, ...] = get_args(Method)

# LoRA (Hu et al. 2022) as in the authors' repository, except for rank and place: theirs is rank 48 on qkv, fc1 and fc2,
# names that the gated blocks of their ViT-g lack but for qkv. Rank 32 on qkv alone is what gives Table 8's 8M (0.7 %).
LORA_RANK = 32
LORA_ALPHA = 16
LORA_DROPOUT = 0.1
LORA_LAYERS = ("qkv",)


def adapt(backbone: Backbone, method: Method) -> nn.Module:
    """Make the weights of `backbone` that `method` trains ask for gradients, all others not; returns its module.

    ``fine_tune``: every weight. ``bitfit``: every bias (Ben Zaken et al. 2022). ``lora``: low-rank matrices added to
    the attention's joint query, key and value layer of every block, and those layers' biases. The module is changed
    in place.

    Raises RadlibError for an unknown method, and for LoRA on a network without such layers.
    """
    module = backbone.module
    if method == "fine_tune":
        return module.requires_grad_(True)
    if method == "bitfit":
        for name, weight in module.named_parameters():
            weight.requires_grad_(name.endswith("bias"))
        return module
    if method != "lora":
        raise unknown_name("method of fine-tuning", method, METHODS)
    if not any(name.endswith(LORA_LAYERS) for name, _ in module.named_modules()):
        raise RadlibError(
            f"LoRA is added to attention's {', '.join(LORA_LAYERS)} layers, and '{backbone.spec.id}' has none; "
            "use bitfit or fine_tune for it."
        )
    from peft import LoraConfig, inject_adapter_in_model  # two seconds that only LoRA needs

    adapters = LoraConfig(
        r=LORA_RANK,
        lora_alpha=LORA_ALPHA,
        lora_dropout=LORA_DROPOUT,
        bias="lora_only",
        target_modules=list(LORA_LAYERS),
    )
    adapted: nn.Module = inject_adapter_in_model(adapters, module)
    return adapted


def trainable_parameters(module: nn.Module) -> int:
    """How many numbers of `module` ask for gradients."""
    return sum(weight.numel() for weight in module.parameters() if weight.requires_grad)
