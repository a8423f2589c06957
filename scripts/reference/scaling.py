"""The model of how training scales, for docs/scaling.md: a step's time from FLOPs, bytes and a few constants.

Usage: scaling.py docs/scaling.md    fits the constants to scaling_measured.txt and writes the document's tables anew
       scaling.py plan DYTTRAIN      asks DYTTRAIN's plans for the settings that fit and that the model finds fastest,
                                     and keeps them in scaling_plans.txt; a build with CUDA, on any machine

Times in seconds, sizes in bytes unless a name says otherwise. The model is the functions from `bus_of` to `predict`."""
import itertools
import math
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
MEASURED, PLANS, CONFIGS = HERE / "scaling_measured.txt", HERE / "scaling_plans.txt", HERE.parent.parent / "configs"

# --- models: parameters of the units in their order, and work ---

CONTEXT, BATCH, STEPS = 4096, 1024, 47700  # the paper's: tokens of a sequence, sequences of a step, steps
LLAMA = {  # width, depth, width of keys, MLP, vocabulary, context
    "llama_124m": (768, 12, 768, 2048, 50304, 1024), "llama_1b": (2048, 16, 2048, 8192, 32000, 4096),
    "llama_7b": (4096, 32, 4096, 11008, 32000, 4096), "llama_13b": (5120, 40, 5120, 13824, 32000, 4096),
    "llama_34b": (8192, 48, 1024, 22016, 32000, 4096), "llama_70b": (8192, 80, 1024, 28672, 32000, 4096)}
PAPER = ("llama_7b", "llama_13b", "llama_34b", "llama_70b")


def units(model):
    if model == "vit_b":
        return [786_000] + [12 * 768 * 768] * 12 + [768_000]
    width, depth, keys, mlp, vocabulary, _ = LLAMA[model]
    block = 2 * width * width + 2 * width * keys + 3 * width * mlp
    return [vocabulary * width] + [block] * depth + [vocabulary * width]


def forward_flops(model):
    """Of a sequence: all of its forward pass, and what train.recompute=block makes again, which is all of the blocks
    but the products that end them, and not the last block."""
    width, depth, _, mlp, vocabulary, context = LLAMA[model]
    block = 2 * units(model)[1] + 4 * width * context
    return (context * (depth * block + 2 * vocabulary * width),
            context * (depth - 1) * (block - 2 * width * mlp))


def buckets(model, mib=25):
    """As src/graph/store_share.c puts units together."""
    out = []
    for unit in units(model):
        if out and 4 * out[-1] < min(mib * 2**20, max(2**20, 4 * sum(out[:-1]))):
            out[-1] += unit
        else:
            out.append(unit)
    return out


# --- constants ---

PEAK = 989.4e12         # of an H200 in bfloat16
COPY = 4.0e12           # memory's bytes a second that AdamW reaches
UPDATE_BYTES = 34       # of a parameter: AdamW with the bfloat16 copy, and the sum of squares
CHEAP = 0.03            # of the forward pass: what train.recompute=cheap costs
PER_HOST = 8            # GPUs
HOPS = ((3.4e-6, 9.6e-6, 1.00), (1.9e-6, 4.0e-6, 0.92))  # of NCCL's protocols Simple and LL128, from its own tables:
TREE = 14e-6            # within a host, between hosts, share of bandwidth; and a tree's between hosts
ROOM_GIB = 136          # of the 139 that an H200 has


class Constants:
    """Fitted: seconds that a collective takes at least, NVLink's bandwidth, FLOP/s of a pass, the share of the GPU that
    a collective takes while it runs, and what ranks lose by waiting for each other. Assumed: bytes a second of each
    GPU's adapter, and what HOPS are multiplied by."""
    def __init__(self):
        self.base, self.nvlink, self.rate, self.share, self.wait = 0.0, 1e12, 650e12, 0.0, 0.0
        self.network, self.hops = 50e9, 1.0


# --- collectives ---

def bus_of(c, ranks, per_host):
    """Of a ring through hosts each GPU's adapter carries as much as any other, so that all of a host's serve it."""
    return c.nvlink if ranks <= per_host else min(c.nvlink, per_host * c.network)


def scatter_or_gather(c, ranks, size, per_host=PER_HOST):
    """Reduce-scatter or all-gather of so many bytes on a ring."""
    if ranks == 1:
        return 0.0
    abroad = math.ceil(ranks / per_host) - 1
    sent = size * (ranks - 1) / ranks
    return c.base + min(c.hops * ((ranks - 1 - abroad) * near + abroad * far) +
                        sent / (bus_of(c, ranks, per_host) * part) for near, far, part in HOPS)


def sum_over_hosts(c, hosts, size):
    """All-reduce among GPUs of which each host has one: a ring or a tree."""
    if hosts == 1:
        return 0.0
    ring = 2 * scatter_or_gather(c, hosts, size, per_host=1) - c.base
    return min(ring, c.base + 2 * math.log2(hosts) * c.hops * TREE + 2 * size / c.network)


# --- a step ---

class Case:
    """ranks share within groups; what is sent of gradients has `wire` bytes each; so many sequences in a pass."""
    def __init__(self, model, ranks, group, zero, wire, samples, passes, recompute="none"):
        self.model, self.ranks, self.group, self.zero = model, ranks, group or ranks, zero
        self.wire, self.samples, self.passes, self.recompute = wire, samples, passes, recompute


def reduce_bucket(c, case, count):
    """Rounding to bfloat16 and back reads and writes, too."""
    rounding = count * (6 + 6 / case.group) / COPY if case.wire == 2 else 0
    return (rounding + scatter_or_gather(c, case.group, case.wire * count) +
            sum_over_hosts(c, case.ranks // case.group, case.wire * count / case.group))


def overlapped(c, compute, sent):
    """The longer of the two: computing slowed by what is sent beside it, or sending."""
    return max(compute + c.share * sent, sent)


def gathered_again(case, of_buckets):
    """At level 3 in the backward pass: not the head, which is at hand still, and the embedding only where it is
    looked up again."""
    return of_buckets[1 if case.recompute == "none" else 0:-1]


def pass_time(c, case, forward, backward, reduces):
    """reduces: does it send gradients, of all passes or of its own?"""
    cut = buckets(case.model)
    gathers = [scatter_or_gather(c, case.group, 2 * n) for n in cut] if case.zero == 3 else [0]
    sums = [reduce_bucket(c, case, n) for n in cut] if reduces else [0]
    if reduces and case.zero == 0:
        sums = [s + scatter_or_gather(c, case.group, 4 * n) for s, n in zip(sums, cut)]
    hidden_gathers, hidden_sums = sum(gathers[1:]), sum(sums[1:])  # the first bucket's are what nothing hides
    return (gathers[0] + overlapped(c, forward, hidden_gathers) +
            overlapped(c, backward, sum(gathered_again(case, gathers)) + hidden_sums) + sums[0])


def update_time(c, case):
    """Buckets one behind the other: while one is gathered the next is updated. And five sums of a few bytes."""
    parameters = sum(units(case.model))
    update = UPDATE_BYTES * parameters / COPY / (1 if case.zero == 0 else case.group)
    gather = sum(scatter_or_gather(c, case.group, 2 * n) for n in buckets(case.model)) if case.zero in (1, 2) else 0
    small = 5 * (c.base + 2 * math.log2(max(case.ranks / PER_HOST, 1)) * c.hops * TREE) if case.ranks > 1 else 0
    return max(update, gather) + min(update, gather) / len(buckets(case.model)) + small


def accumulation_time(case):
    """Of a pass behind the first: gradients are read again; levels 2 and 3 add pieces."""
    parameters = sum(units(case.model))
    return (4 * parameters if case.zero < 2 else 12 * parameters / case.group) / COPY


def compute_time(c, case):
    """Of a pass, forward and backward."""
    flops, again = forward_flops(case.model)
    share = {"none": 0, "cheap": CHEAP * flops, "block": again}[case.recompute]
    return case.samples * flops / c.rate, case.samples * (2 * flops + share) / c.rate


def step_time(c, case, forward, backward):
    slow = 1 + c.wait if case.ranks > 1 else 1
    forward, backward = slow * forward, slow * backward
    sends = case.ranks > 1
    one = pass_time(c, case, forward, backward, sends and case.zero >= 2)
    last = pass_time(c, case, forward, backward, sends)
    return (case.passes - 1) * (one + accumulation_time(case)) + last + update_time(c, case)


def predict(c, case):
    return step_time(c, case, *compute_time(c, case))


# --- fitting ---

def read_rows(path):
    return [line.split() for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]


def rows_of(rows, kind):
    return [row for row in rows if row[0] == kind]


def least(error, *ranges):
    """The values in these ranges whose error is least, by a grid that closes in on it."""
    best = [(low + high) / 2 for low, high in ranges]
    width = [high - low for low, high in ranges]
    for _ in range(30):
        axes = [sorted({min(max(b + w * k / 8, low), high) for k in range(-4, 5)})
                for b, w, (low, high) in zip(best, width, ranges)]
        best = min(itertools.product(*axes), key=lambda values: error(*values))
        width = [0.6 * w for w in width]
    return best


def bus_rows(rows):
    """(GPUs, bytes, seconds) of reduce-scatter and all-gather."""
    out = []
    for _, ranks, mib, *speeds, _ in rows_of(rows, "bus"):
        size = float(mib) * 2**20
        out += [(int(ranks), size, size * (int(ranks) - 1) / int(ranks) / (float(s) * 1e9)) for s in speeds]
    return out


def one_cases(rows):
    """(case, does it update, seconds, commit)"""
    return [(Case(model, 1, 1, 0, 4, int(samples), 1, recompute), update == "yes", float(ms) / 1e3, commit)
            for _, model, samples, recompute, update, ms, commit in rows_of(rows, "one")]


def one_time(c, case, update):
    return sum(compute_time(c, case)) + (update_time(c, case) if update else 0)


def seconds_of(ms):
    return None if ms == "-" else float(ms) / 1e3


def step_cases(rows):
    """(case, seconds, seconds of one GPU alone, commit); seconds are None where they are not known."""
    return [(Case(model, int(ranks), 0, int(zero), 4 if wire == "fp32" else 2, int(samples), 1, recompute),
             seconds_of(ms), seconds_of(alone), commit)
            for _, model, ranks, samples, recompute, zero, wire, ms, alone, commit in rows_of(rows, "step")]


def step_from_alone(c, case, alone):
    """How one GPU computes is known here: what it took alone, less its update."""
    compute = alone - UPDATE_BYTES * sum(units(case.model)) / COPY
    return step_time(c, case, compute / 3, compute * 2 / 3)


def fit_bus(c, rows):
    def error(base, nvlink):
        c.base, c.nvlink = base, nvlink
        return sum((scatter_or_gather(c, n, size) / seconds - 1) ** 2 for n, size, seconds in bus_rows(rows))
    c.base, c.nvlink = least(error, (0, 60e-6), (50e9, 450e9))


def fit_steps(c, cases):
    def error(share, wait):
        c.share, c.wait = share, wait
        return sum((step_from_alone(c, case, alone) / seconds - 1) ** 2 for case, seconds, alone, _ in cases
                   if seconds and alone)
    c.share, c.wait = least(error, (0, 1), (0, 0.1))


def fit(rows):
    c = Constants()
    case, update, seconds, _ = one_cases(rows)[0]
    c.rate *= one_time(c, case, update) / seconds
    fit_bus(c, rows)
    fit_steps(c, step_cases(rows))
    return c


# --- plans ---

def per_gpu(ranks):
    return BATCH // ranks


def check_flops(model, text):
    number, unit = re.search(r"([\d.]+) ([TP])FLOP per sample", text).groups()
    planned, ours = float(number) * {"T": 1e12, "P": 1e15}[unit], 3 * forward_flops(model)[0]
    if abs(ours / planned - 1) > 0.01:
        sys.exit(f"{model}: the plan has {planned:.4g} FLOP of a sequence, the model {ours:.4g}")


def plan_levels(program, model, ranks, group, wire, samples, recompute):
    """[(zero, GiB, {column: bytes})] of the plan's table."""
    command = [program, "plan", str(CONFIGS / f"{model}_dyt.yaml"), "--ranks", str(ranks), "--gpu-gib", "139",
               "data.kind=synthetic_text", f"train.micro_batch={samples}", f"train.recompute={recompute}",
               f"parallel.shard_group={group}", f"parallel.grad_dtype={wire}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    check_flops(model, text)
    unit = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
    out = []
    for line in re.findall(r"^  [0-3] .*iB .*$", text, re.M):
        sizes = [float(n) * unit[u] for n, u in re.findall(r"([\d.]+) ([KMGT]?i?B)\b", line)]
        names = ("planned", "outside", "sent", "reduce_scatter", "all_gather", "gather", "all_reduce")
        size = dict(zip(names, sizes))
        out.append((int(line.split()[0]), (size["planned"] + size["outside"]) / 2**30, size))
    return out


def sent_bytes(case):
    """A rank's, of matrices in a step: reduce_scatter, all_gather, gather, all_reduce as the plan has them."""
    cut = buckets(case.model)
    stays, hosts = (case.group - 1) / case.group, case.ranks // case.group
    sums = case.passes if case.zero >= 2 else 1
    gathered, again = {0: 4, 1: 2, 2: 2, 3: 0}[case.zero], sum(gathered_again(case, cut))
    return {"reduce_scatter": sums * case.wire * sum(cut) * stays, "all_gather": gathered * sum(cut) * stays,
            "gather": case.passes * 2 * (sum(cut) + again) * stays if case.zero == 3 else 0,
            "all_reduce": sums * 2 * (hosts - 1) / hosts * case.wire * sum(cut) / case.group}


def check_bytes(case, planned):
    for name, size in sent_bytes(case).items():
        if abs(size - planned[name]) > 0.01 * planned[name] + 1e6:
            sys.exit(f"{vars(case)}: the plan sends {planned[name]:.4g} bytes by {name}, the model {size:.4g}")


def candidates(program, model, ranks, group, wire):
    """All levels, passes and kinds of recomputation: (GiB, case)."""
    for samples, recompute in itertools.product((1, 2, 4), ("none", "cheap", "block")):
        if samples > per_gpu(ranks):
            continue
        for zero, gib, planned in plan_levels(program, model, ranks, group, wire, samples, recompute):
            case = Case(model, ranks, group, zero, 4 if wire == "fp32" else 2, samples, per_gpu(ranks) // samples,
                        recompute)
            check_bytes(case, planned)
            yield gib, case


def make_plans(program):
    """A row for each way of sharing: the fastest that fits, else the one that takes least."""
    c = fit(read_rows(MEASURED))
    lines = ["# Written by scaling.py plan: for each model, number of GPUs, parallel.shard_group, parallel.grad_dtype",
             "# what fits and the model finds fastest; where nothing fits (no), what takes least.",
             "# MODEL GPUS GROUP WIRE SAMPLES RECOMPUTE ZERO GIB FITS"]
    for model, ranks, wire in itertools.product(PAPER, (8, 64, 512), ("fp32", "bf16")):
        for group in (0,) if ranks == 8 else (0, 8, 16):
            found = list(candidates(program, model, ranks, group, wire))
            fitting = [f for f in found if f[0] <= ROOM_GIB]
            gib, case = min(fitting, key=lambda f: predict(c, f[1])) if fitting else min(found, key=lambda f: f[0])
            lines.append(f"{model} {ranks} {group} {wire} {case.samples} {case.recompute} {case.zero} {gib:.1f} "
                         f"{'yes' if fitting else 'no'}")
            print(lines[-1], flush=True)
    PLANS.write_text("\n".join(lines) + "\n")


def read_plans():
    """{(model, ranks, group, wire): (case, GiB, fits)}"""
    out = {}
    for model, ranks, group, wire, samples, recompute, zero, gib, fits in read_rows(PLANS):
        n = int(ranks)
        case = Case(model, n, int(group), int(zero), 4 if wire == "fp32" else 2, int(samples),
                    per_gpu(n) // int(samples), recompute)
        out[model, n, int(group), wire] = case, float(gib), fits == "yes"
    return out


# --- tables ---

def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(row) + " |" for row in rows])


def three_digits(number):
    return f"{number:#.3g}".rstrip(".")


def percent(share):
    return f"{100 * share:.1f} %"


def error(predicted, seconds):
    return f"{100 * (predicted / seconds - 1):+.1f} %"


def wire_name(case):
    return "fp32" if case.wire == 4 else "bf16"


def milliseconds(seconds):
    return f"{1e3 * seconds:.1f}" if seconds else ""


def table_bus(c, rows):
    out = []
    for _, ranks, mib, scatter, gather, commit in rows_of(rows, "bus"):
        n, size = int(ranks), float(mib) * 2**20
        speed = size * (n - 1) / n / scatter_or_gather(c, n, size) / 1e9
        out.append([ranks, f"{mib} MiB", scatter, gather, f"{speed:.0f}", commit])
    return table(["GPUs", "bytes", "reduce-scatter", "all-gather", "model", "commit"], out)


def table_one(c, rows):
    return table(["model", "in the pass", "`train.recompute`", "update", "ms", "model", "error", "commit"],
                 [[f"`{case.model}`", str(case.samples), case.recompute, "yes" if update else "no", f"{1e3 * t:.1f}",
                   f"{1e3 * one_time(c, case, update):.1f}", error(one_time(c, case, update), t), commit]
                  for case, update, t, commit in one_cases(rows)])


def predict_unseen(c, cases, i):
    """A step, with the constants as they are without it."""
    other = changed(c, "share", 1)
    fit_steps(other, cases[:i] + cases[i + 1:])
    case, _, alone, _ = cases[i]
    return step_from_alone(other, case, alone) if alone else predict(other, case)


def table_measured(c, rows):
    out, cases = [], step_cases(rows)
    for i, (case, seconds, alone, commit) in enumerate(cases):
        p = step_from_alone(c, case, alone) if alone else predict(c, case)
        kept = [percent(alone / t) if alone and t else "" for t in (seconds, p)]
        errors = [error(t, seconds) if seconds else "" for t in (p, predict_unseen(c, cases, i))]
        out.append([f"`{case.model}`", str(case.ranks), str(case.samples), case.recompute, str(case.zero),
                    wire_name(case), milliseconds(alone), milliseconds(seconds), kept[0], milliseconds(p), kept[1],
                    *errors, commit])
    return table(["model", "GPUs", "in a pass", "recompute", "`zero`", "sent as", "one alone", "**measured**", "kept",
                  "model", "kept", "error", "unseen", "commit"], out)


def table_constants(c, _):
    return table(["fitted", "is", "to"], [
        ["a collective takes at least", f"{1e6 * c.base:.0f} µs", "`doctor --ranks`"],
        ["NVLink, of each GPU", f"{c.nvlink / 1e9:.0f} GB/s", "`doctor --ranks`"],
        ["a GPU computes", f"{c.rate / 1e12:.0f} TFLOP/s", "7B's pass on one GPU"],
        ["a collective slows what is computed beside it by", percent(c.share) + " of its own time",
         "steps of several GPUs"],
        ["waiting for the slowest rank", percent(c.wait) + " of computing", "steps of several GPUs"]])


def fastest(c, plans, model, ranks):
    """With gradients in float32."""
    rows = [p for (m, n, _, wire), p in plans.items() if (m, n, wire) == (model, ranks, "fp32") and p[2]]
    return min(rows, key=lambda p: predict(c, p[0])) if rows else None


def sharers(case):
    return "all" if case.group == case.ranks else str(case.group)


def table_carried(c, _):
    plans, out = read_plans(), []
    for model, ranks in itertools.product(PAPER, (8, 64, 512)):
        found = fastest(c, plans, model, ranks)
        if not found:
            out.append([f"`{model}`", str(ranks), "does not fit"] + [""] * 9)
            continue
        case, gib, _ = found
        t = predict(c, case)
        work = 3 * forward_flops(model)[0] * BATCH
        out.append([f"`{model}`", str(ranks), str(case.zero), sharers(case), case.recompute,
                    f"{case.passes} × {case.samples}", f"{gib:.0f}", three_digits(t) + " s",
                    f"{100 * case.passes * sum(compute_time(c, case)) / t:.0f} %",
                    f"{100 * work / t / ranks / PEAK:.0f} %",
                    f"{BATCH * CONTEXT / t / 1e3:,.0f} k", three_digits(t * STEPS / 86400)])
    return table(["model", "GPUs", "`zero`", "share", "recompute", "passes × sequences", "GiB", "step", "kept", "MFU",
                  "tokens/s", "days"], out)


def table_sharing(c, _):
    plans, out = read_plans(), []
    for model, ranks in itertools.product(PAPER, (8, 64, 512)):
        row = [f"`{model}`", str(ranks)]
        for group, wire in itertools.product((0, 16, 8), ("fp32", "bf16")):
            case, _, fits = plans.get((model, ranks, group, wire), (None, None, False))
            row.append(f"{three_digits(predict(c, case))} ({case.zero})" if fits else "no room" if case else "")
        out.append(row)
    return table(["model", "GPUs"] + [f"{who}, {wire}" for who in ("all", "16", "8") for wire in ("fp32", "bf16")], out)


def changed(c, name, times):
    out = Constants()
    vars(out).update(vars(c))
    setattr(out, name, times * getattr(c, name))
    return out


WORSE = (("waiting twice as long", "wait", 2), ("slowing twice as strong", "share", 2),
         ("NVLink at 3/4", "nvlink", 0.75), ("network at half", "network", 0.5),
         ("hops three times as long", "hops", 3))


def table_stake(c, _):
    """How much longer a step takes when something is worse than was assumed."""
    plans, out = read_plans(), []
    for model, ranks in itertools.product(PAPER, (8, 64, 512)):
        found = fastest(c, plans, model, ranks)
        if not found:
            continue
        more = [predict(changed(c, name, times), found[0]) / predict(c, found[0]) - 1 for _, name, times in WORSE]
        marks = [f"{100 * m:.0f} %" for m in more]
        most = more.index(max(more))
        marks[most] = f"**{marks[most]}**"
        out.append([f"`{model}`", str(ranks)] + marks)
    return table(["model", "GPUs"] + [what for what, _, _ in WORSE], out)


def write_tables(path):
    """Between `<!-- table NAME -->` and `<!-- end -->`."""
    rows = read_rows(MEASURED)
    c = fit(rows)
    text = path.read_text()
    for name in re.findall(r"<!-- table (\w+) -->", text):
        made = globals()[f"table_{name}"](c, rows)
        text = re.sub(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{made}\n\n{m[2]}", text,
                      flags=re.S)
    path.write_text(text)


def main(words):
    if len(words) == 2 and words[0] == "plan":
        make_plans(words[1])
    elif len(words) == 1 and words[0].endswith(".md"):
        write_tables(pathlib.Path(words[0]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
