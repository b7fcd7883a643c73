"""The benchmark's Python columns: the same supernet, searched as an ordinary PyTorch program does it.

search.py FILE ORDER BATCH STEPS [--channels-last]
prints {"parameters", "seconds_per_step", "peak_mib"}.
"""

import json
import os
import resource
import sys
import time

import torch
from torch import nn

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "training"))
import train_images  # noqa: E402


class Zero(nn.Module):
    """Zeros of the image's shape, or half its extent."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return x[:, :, ::self.stride, ::self.stride].mul(0.0)


class Choice(nn.Module):
    """All options, weighted by the softmax of the decision's parameters."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = [alpha]  # not this module's own

    def forward(self, *options):
        return sum(w * x for w, x in zip(torch.softmax(self.alpha[0], dim=0), options))


def supernet(file):
    """The network, and the parameters of its decisions."""
    architecture = json.load(open(file))
    alphas = {}
    plain = train_images.module

    def module(operation, a, channels):
        if operation == "zero":
            return Zero(a["stride"]), channels
        if operation == "choice":
            if a["decision"] not in alphas:
                alphas[a["decision"]] = (1e-3 * torch.randn(len(a["options"]))).requires_grad_()
            return Choice(alphas[a["decision"]]), channels
        return plain(operation, a, channels)

    train_images.module = module
    return train_images.Network(architecture), list(alphas.values())


class Search:
    def __init__(self, file, order):
        self.order = order
        self.network, self.alphas = supernet(file)
        self.weights = list(self.network.parameters())
        self.loss = nn.CrossEntropyLoss()
        self.lr, self.momentum, self.decay = 0.025, 0.9, 3e-4
        self.sgd = torch.optim.SGD(self.weights, self.lr, momentum=self.momentum, weight_decay=self.decay)
        self.adam = torch.optim.Adam(self.alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def loss_on(self, batch):
        return self.loss(self.network(batch[0]), batch[1])

    def structure_step(self, training, validation):
        self.adam.zero_grad()
        if self.order == 1:
            self.loss_on(validation).backward()
        else:
            self.unrolled(training, validation)
        self.adam.step()

    def unrolled(self, training, validation):
        before = [w.data.clone() for w in self.weights]
        gradients = torch.autograd.grad(self.loss_on(training), self.weights)
        with torch.no_grad():
            for w, g in zip(self.weights, gradients):
                velocity = self.sgd.state[w].get("momentum_buffer") if w in self.sgd.state else None
                step = g + self.decay * w if velocity is None else g + self.decay * w + self.momentum * velocity
                w.sub_(self.lr * step)
        both = torch.autograd.grad(self.loss_on(validation), self.alphas + self.weights)
        of_alphas, along = both[:len(self.alphas)], both[len(self.alphas):]
        epsilon = 0.01 / torch.cat([g.flatten() for g in along]).norm()
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                for w, w0, g in zip(self.weights, before, along):
                    w.copy_(w0 + sign * epsilon * g)
            sides.append(torch.autograd.grad(self.loss_on(training), self.alphas))
        with torch.no_grad():
            for w, w0 in zip(self.weights, before):
                w.copy_(w0)
            for alpha, g, ahead, behind in zip(self.alphas, of_alphas, *sides):
                alpha.grad = g - self.lr * (ahead - behind) / (2 * epsilon)

    def step(self, training, validation):
        self.structure_step(training, validation)
        self.sgd.zero_grad()
        self.loss_on(training).backward()
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()


def main():
    file, order, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.manual_seed(1)
    search = Search(file, order)
    layout = torch.channels_last if "--channels-last" in sys.argv else torch.contiguous_format
    search.network.to(memory_format=layout)

    def draw():
        return torch.randn(batch, 3, 32, 32).to(memory_format=layout), torch.randint(10, (batch,))

    search.step(draw(), draw())
    start = time.perf_counter()
    for _ in range(steps):
        search.step(draw(), draw())
    seconds = (time.perf_counter() - start) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"parameters": sum(w.numel() for w in search.weights), "seconds_per_step": seconds, "peak_mib": peak}))


if __name__ == "__main__":
    main()
