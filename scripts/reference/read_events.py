#!/usr/bin/env python3
"""Reads a run's event files as TensorBoard does and holds them against its metrics.jsonl.

    pip install tensorboard        (in a virtual environment)
    scripts/reference/read_events.py runs/NAME

Every number of metrics.jsonl must be among the events (which are float32) under train/KEY, eval/KEY or eval_ema/KEY, at
its step. Exit code 1 where one is missing or differs. TensorBoard is no part of the build; this is the check against it.
"""
import json
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def wanted(run):
    for line in open(f"{run}/metrics.jsonl"):
        row = json.loads(line)
        step = row.pop("step")
        groups = [(key, row[key]) for key in ("eval", "eval_ema") if key in row] or [("train", row)]
        for group, values in groups:
            for key, value in values.items():
                yield f"{group}/{key}", step, value


def main(run):
    events = EventAccumulator(run, size_guidance={"scalars": 0})
    events.Reload()
    scalars = {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    checked, wrong = 0, 0
    for tag, step, value in wanted(run):
        expected = struct.unpack("f", struct.pack("f", value))[0]
        found = scalars.get(tag, {}).get(step)
        checked += 1
        if found != expected:
            wrong += 1
            print(f"{tag} at step {step}: {found} in the events, {expected} in metrics.jsonl")
    print(f"{run}: {checked} numbers in {len(scalars)} tags, {wrong} wrong")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
