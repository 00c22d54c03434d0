#!/usr/bin/python3
"""Logits of an exported Hugging Face directory, with or without a PEFT adapter, by the PyTorch reference, against
those that fettle gave for the same token ids.

  reference_logits.py REFERENCE_DIR MODEL_DIR ADAPTER_DIR|- LOGITS.safetensors

LOGITS.safetensors holds "ids" as f32 [T] and "logits" f32 [T, V]. The adapter is read here from PEFT's own rules, not
with fettle's code. Exit status: 0 equal within 1e-4 of the largest |logit|, 1 not, 77 without torch or the reference.
"""
import json
import math
import os
import sys

SKIP = 77
reference, model_dir, adapter_dir, logits_path = sys.argv[1:]
sys.path.insert(0, reference)
try:
    import torch
    import reference as R
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(SKIP)


def weights_of(directory):
    index = os.path.join(directory, "model.safetensors.index.json")
    if not os.path.exists(index):
        return R.load_safetensors(os.path.join(directory, "model.safetensors"))
    out = {}
    for shard in sorted(set(json.load(open(index))["weight_map"].values())):
        out.update(R.load_safetensors(os.path.join(directory, shard)))
    return out


def attach(model, directory):
    """LoRA as PEFT applies it: y += scale * B A x, saved modules replace."""
    c = json.load(open(os.path.join(directory, "adapter_config.json")))
    assert c["peft_type"] == "LORA" and not c["use_dora"] and c["bias"] == "none"
    assert not c["rank_pattern"] and not c["alpha_pattern"]
    model.scale = c["lora_alpha"] / (math.sqrt(c["r"]) if c["use_rslora"] else c["r"])
    tensors = R.load_safetensors(os.path.join(directory, "adapter_model.safetensors"))
    prefix, used = "base_model.model.", 0
    for name in tensors:
        assert name.startswith(prefix), name
        module = name[len(prefix):]
        if module.endswith(".lora_A.weight"):
            module = module[: -len(".lora_A.weight")]
            assert module.rsplit(".", 1)[-1] in c["target_modules"] or module in c["target_modules"], module
            model.lora[module] = (tensors[name], tensors[f"{prefix}{module}.lora_B.weight"])
            assert model.lora[module][0].shape[0] == c["r"]
            used += 2
        elif not module.endswith(".lora_B.weight"):
            assert module.rsplit(".", 2)[-2] in c["modules_to_save"], module
            model.w[module] = tensors[name]
            used += 1
    assert used == len(tensors)


torch.set_num_threads(1)
given = R.load_safetensors(logits_path)
model = R.Model(json.load(open(os.path.join(model_dir, "config.json"))), weights_of(model_dir))
if adapter_dir != "-":
    attach(model, adapter_dir)
with torch.no_grad():
    want = model.logits([int(i) for i in given["ids"]])
distance = float((want - given["logits"]).abs().max() / want.abs().max())
print(f"{model_dir}{'' if adapter_dir == '-' else ' with ' + adapter_dir}: distance {distance:.2e}")
sys.exit(0 if distance < 1e-4 else 1)
