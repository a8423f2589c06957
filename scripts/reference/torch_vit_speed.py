"""Training speed of the quick-start ViT in PyTorch on the CPU, to stand beside `dyttrain bench`: images a second of the
whole step (forward, backward, AdamW) on random input, median over rounds.

Usage: torch_vit_speed.py [threads] [norm]     (2 threads and dyt by default)"""
import statistics
import sys
import time

import torch
from torch.nn import functional as F

from vit_reference import decay_groups, make_vit

BATCH, WARM, ROUNDS, STEPS = 64, 20, 7, 30


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    norm = sys.argv[2] if len(sys.argv) > 2 else "dyt"
    model = make_vit(norm, image=28, channels=1, patch=7, width=64, depth=4, heads=2, classes=10, alpha0=1.0)
    optimizer = torch.optim.AdamW(decay_groups(model, 0.05), lr=4e-3)
    images, labels = torch.randn(BATCH, 1, 28, 28), torch.randint(0, 10, (BATCH,))

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(images), labels).backward()
            optimizer.step()

    steps(WARM)
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        steps(STEPS)
        rates.append(STEPS * BATCH / (time.perf_counter() - start))
    parameters = sum(p.numel() for p in model.parameters())
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {norm}, {parameters} parameters, batch {BATCH}: "
          f"median {statistics.median(rates):.0f} images/s (from {min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
