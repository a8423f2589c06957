"""Folders of transformers, to and fro. See README.md in this folder for how to run it.

Usage: llama_hf.py make FOLDER       tiny seeded LLaMAs, saved by transformers, each with logits.json: the tokens and
                                     the float32 logits that transformers computes, and generated.json: how it goes on
                                     from prompts, always by the most likely token (kept in tests/parity/data)
       llama_hf.py check DYTTRAIN [DATA]
                                     imports those (DATA: tests/parity/data) with the program DYTTRAIN, exports them,
                                     and lets transformers compute the logits of what was exported; then trains tiny
                                     models, exports them, and compares their losses, logits with a KV cache, and
                                     the texts that both generate

The models with other norms than RMSNorm are computed by the Python that dyttrain exports with them, which is read from
src/models/hf/."""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src/models/hf"))
from modeling_dyt_llama import DytLlamaConfig, DytLlamaForCausalLM  # noqa: E402

VOCABULARY, ROWS, CONTEXT, LIMIT = 23, 2, 24, 1e-5
PROMPTS, LONGEST, GENERATED, CLEAR = (1, 9, 24), 64, 40, 1e-3
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def site(kind, bias=False, gain=True, **more):
    return dict(kind=kind, gain=gain, bias=bias, **more)


def norms(attention, ffn, final):
    return dict(norms=dict(attention=attention, ffn=ffn, final=final))


DYT = norms(*[site("dyt", alpha0=a, learn_alpha=True) for a in (0.8, 0.2, 0.5)])
CASES = {
    # several files and an index, heads of keys and values that are shared, tied weights, another base of rotations
    "hf_shared": dict(kv_heads=2, tied=True, theta=500.0, files="20KB"),
    "hf_llama3": dict(kv_heads=4, tied=False, theta=10000.0, scaling=LLAMA3, dtype=torch.bfloat16),
    "hf_dyt": dict(kv_heads=1, tied=False, theta=10000.0, own=dict(embedding_scale=True, **DYT)),
    "hf_mixed": dict(kv_heads=4, tied=True, theta=10000.0, dtype=torch.float16, own=dict(
        embedding_scale=False, **norms(site("derf", alpha0=0.5, learn_alpha=True, bias=True),
                                       site("layernorm", bias=True), site("isru", alpha0=1.0, learn_alpha=False)))),
    "hf_others": dict(kv_heads=2, tied=False, theta=10000.0, own=dict(
        embedding_scale=True, **norms(site("hardtanh", alpha0=0.5, learn_alpha=True),
                                      site("sigmoid", alpha0=0.5, learn_alpha=True, bias=True),
                                      site("rmsnorm", gain=False)))),
}


def make_model(kv_heads, tied, theta, scaling=None, own=None):
    config = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                  num_attention_heads=4, num_key_value_heads=kv_heads, rms_norm_eps=1e-5, rope_theta=theta,
                  rope_scaling=scaling, tie_word_embeddings=tied, max_position_embeddings=LONGEST, bos_token_id=None,
                  eos_token_id=None)
    if not own:
        return LlamaForCausalLM(LlamaConfig(**config))
    DytLlamaConfig.register_for_auto_class()
    DytLlamaForCausalLM.register_for_auto_class("AutoModelForCausalLM")
    return DytLlamaForCausalLM(DytLlamaConfig(**config, **own))


def draw_weights(model):
    """No parameter is left at a special value (0, 1), so that a factor lost anywhere shows."""
    generator = torch.Generator().manual_seed(20260102)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if p.ndim > 1:
            p.data = noise * (2.0 / sum(p.shape)) ** 0.5
        else:
            p.data = p.data + 0.2 * noise


def load(folder):
    """A model to compute with in float32, every parameter of which was in the files."""
    model, info = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, output_loading_info=True,
                                                       torch_dtype=torch.float32)
    wrong = {key: value for key, value in info.items() if value}
    if wrong:
        raise SystemExit(f"{folder}: {wrong}")
    return model.eval()


@torch.no_grad()
def logits_of(model, tokens):
    return model(tokens).logits.float()


def generate(model, prompt, count, penalty=1.0):
    """The most likely tokens, and by how much the least clear of them leads the next one."""
    out = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=count, repetition_penalty=penalty,
                         pad_token_id=0, output_scores=True, return_dict_in_generate=True)
    two = torch.cat(out.scores).topk(2).values
    return out.sequences[0, len(prompt):].tolist(), (two[:, 0] - two[:, 1]).min().item()


def generate_all(model, tokens):
    """From prompts of several lengths, without and with a penalty of repetitions; where two tokens are so near that
    roundings may decide between them, from another prompt."""
    texts = []
    for length, penalty in [(length, penalty) for length in PROMPTS for penalty in (1.0, 2.0)]:
        for start in range(tokens.numel() - length):
            prompt = tokens.flatten()[start:start + length].tolist()
            text, lead = generate(model, prompt, GENERATED, penalty)
            if lead > CLEAR:
                break
        else:
            raise SystemExit("every text has a choice that is too near")
        texts.append(dict(repetition_penalty=penalty, prompt=prompt, text=text))
    return texts


def make(folder):
    tokens = torch.randint(0, VOCABULARY, (ROWS, CONTEXT), generator=torch.Generator().manual_seed(1))
    for name, case in CASES.items():
        dtype, files = case.pop("dtype", torch.float32), case.pop("files", "1GB")
        model = make_model(**case)
        draw_weights(model)
        shutil.rmtree(folder / name, ignore_errors=True)
        model.to(dtype).save_pretrained(folder / name, max_shard_size=files)
        model = load(folder / name)  # the rotations' frequencies were rounded too
        for unread in ("generation_config.json", "modeling_dyt_llama.py"):
            (folder / name / unread).unlink(missing_ok=True)
        logits = logits_of(model, tokens).flatten().tolist()
        numbers = dict(tokens=tokens.tolist(), logits=logits)
        (folder / name / "logits.json").write_text(json.dumps(numbers) + "\n")
        lines = ",\n ".join(map(json.dumps, generate_all(model, tokens)))
        (folder / name / "generated.json").write_text(f"[{lines}]\n")
        print(f"{name}: {sum(p.numel() for p in model.parameters())} parameters")


def run(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True, text=True).stdout


failed = 0


def report(good, name, what):
    global failed
    failed += not good
    print(f"{'ok' if good else 'FAILED'}  {name:<12} {what}")


def report_near(name, what, difference):
    report(difference <= LIMIT, name, f"{what}: {difference:.2e} from ours, at most {LIMIT:g}")


def check_kept(program, data, work):
    for name in CASES:
        kept = json.loads((data / name / "logits.json").read_text())
        run(program, "import", "--format", "hf", data / name, work / name)
        run(program, "export", "--format", "hf", work / name, work / f"{name}.hf")
        theirs = logits_of(load(work / f"{name}.hf"), torch.tensor(kept["tokens"]))
        report_near(name, "logits", (theirs.flatten() - torch.tensor(kept["logits"])).abs().max().item())


CONFIG = """
model: {arch: llama, width: 32, depth: 2, heads: 4, kv_heads: 2, ffn: 48, init: fan_in}
norm: {kind: rmsnorm, bias: false}
data: {kind: text, context: 32, batch: 8}
train: {steps: 40, ema: 0.9}
optim: {lr: 3e-3}
eval: {batch: 8}
device: cpu
threads: 2
"""
TRAINED = {
    "rmsnorm": ["model.tied=true", "model.rope_factor=8", "model.rope_context=16", "checkpoint.file_gib=0.001"],
    "dyt": ["norm.kind=dyt", "norm.alpha0.attention=0.8", "model.embedding_scale=true"],
    "layernorm": ["norm.kind=layernorm", "norm.bias=true"],
}


def mean_loss(model, text, context):
    """Of the last 5 % of the bytes, each but the first once, in windows of `context`; as `dyttrain eval` does."""
    held_out = torch.tensor(list(text[len(text) - int(len(text) * 0.05):]))
    total = 0.0
    for at in range(0, len(held_out) - 1, context):
        piece = held_out[at:at + context + 1]
        total += F.cross_entropy(logits_of(model, piece[None, :-1])[0].double(), piece[1:], reduction="sum").item()
    return total / (len(held_out) - 1)


def cache_difference(model, tokens):
    """Logits token by token, with a cache, against all at once."""
    whole, cache, most = logits_of(model, tokens), None, 0.0
    with torch.no_grad():
        for t in range(tokens.shape[1]):
            out = model(tokens[:, t:t + 1], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            most = max(most, (out.logits[:, 0] - whole[:, t]).abs().max().item())
    return most


def check_text(program, work, name, model, text):
    """The most likely bytes behind some prompts, as many as the context has room for."""
    for at in range(0, 64, 16):
        prompt = text[at:at + 8]
        theirs, lead = generate(model, list(prompt), 24)
        printed = run(program, "generate", work / name, "--prompt", prompt.decode(), "--tokens", "24",
                      "generate.temperature=0")
        report(printed.encode().removesuffix(b"\n") == prompt + bytes(theirs), name,
               f"the text behind {prompt!r}, where theirs is clear by {lead:.1e}")


def check_trained(program, work):
    text = Path(__file__).read_bytes() * 2
    (work / "text").write_bytes(text)
    (work / "config.yaml").write_text(CONFIG)
    for name, words in TRAINED.items():
        run(program, work / "config.yaml", f"data.path={work / 'text'}", f"run.dir={work}", f"run.name={name}", *words)
        run(program, "export", "--format", "hf", work / name, work / f"{name}.hf")
        ours = json.loads(run(program, "eval", work / name, "--json"))["loss"]
        model = load(work / f"{name}.hf")
        report_near(name, "loss", abs(mean_loss(model, text, 32) - ours))
        report_near(name, "logits with a cache", cache_difference(model, torch.tensor([list(text[:20])])))
        check_text(program, work, name, model, text)


def main():
    torch.set_num_threads(2)
    if sys.argv[1] == "make":
        return make(Path(sys.argv[2]))
    program = Path(sys.argv[2]).resolve()
    data = Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "tests/parity/data"
    with tempfile.TemporaryDirectory() as work:
        check_kept(program, data, Path(work))
        check_trained(program, Path(work))
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
