"""The benchmark's first two columns: the networks as an ordinary PyTorch program trains them.

train_images.py FILE BATCH EXAMPLES SECONDS [--channels-last]
prints {"parameters", "images_per_second"}. It trains where WEFT_DEVICE says.
"""

import json
import os
import sys
import time

import torch
from torch import nn


class Shift(nn.Module):
    """The image moved up and left by one pixel."""

    def forward(self, x):
        return nn.functional.pad(x[:, :, 1:, 1:], (0, 1, 0, 1))


class Add(nn.Module):
    def forward(self, *inputs):
        total = inputs[0]
        for x in inputs[1:]:
            total = total + x
        return total


class Concat(nn.Module):
    def forward(self, *inputs):
        return torch.cat(inputs, dim=1)


def module(operation, a, channels):
    """The module of one node, and its number of output channels; `channels` are those of its first input."""
    if operation == "conv2d":
        return nn.Conv2d(channels, a["channels"], a["kernel"], a["stride"], a["padding"], a["dilation"], a["groups"],
                         a["bias"]), a["channels"]
    if operation == "linear":
        return nn.Linear(channels, a["features"], a["bias"]), a["features"]
    if operation == "batch_norm":
        return nn.BatchNorm2d(channels, a["eps"], a["momentum"], a["affine"]), channels
    if operation == "max_pool":
        return nn.MaxPool2d(a["kernel"], a["stride"], a["padding"], ceil_mode=a["ceil"]), channels
    if operation == "avg_pool":
        return nn.AvgPool2d(a["kernel"], a["stride"], a["padding"], a["ceil"], a["count_include_pad"]), channels
    if operation == "global_avg_pool":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels
    if operation == "activation" and a["function"] == "relu":
        return nn.ReLU(), channels
    simple = {"identity": nn.Identity, "shift": Shift, "add": Add}
    return simple[operation](), channels


class Network(nn.Module):
    """The graph of an architecture.json."""

    def __init__(self, architecture):
        super().__init__()
        self.layers = nn.ModuleDict()
        self.output = architecture["output"]
        self.inputs = {}
        channels = {}
        for node in architecture["nodes"]:
            name, inputs, attributes = node["name"], node["inputs"], node.get("attributes", {})
            if node["operation"] == "input":
                self.shape = attributes["shape"]
                self.input, channels[name] = name, self.shape[0]
                continue
            if node["operation"] == "concat":
                self.layers[name], channels[name] = Concat(), sum(channels[i] for i in inputs)
            else:
                self.layers[name], channels[name] = module(node["operation"], attributes, channels[inputs[0]])
            self.inputs[name] = inputs
        self.classes = channels[self.output]
        # A program written by hand lets a value go when nothing needs it any more.
        last_reader = {i: name for name, inputs in self.inputs.items() for i in inputs}
        self.done = {name: [i for i in set(inputs) if last_reader[i] == name] for name, inputs in self.inputs.items()}

    def forward(self, x):
        values = {self.input: x}
        for name, layer in self.layers.items():
            values[name] = layer(*[values[i] for i in self.inputs[name]])
            for i in self.done[name]:
                del values[i]
        return values[self.output]


def main():
    file, batch_size, examples, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    channels_last = "--channels-last" in sys.argv
    device = torch.device(os.environ.get("WEFT_DEVICE", "cpu"))
    torch.manual_seed(1)
    with open(file) as stream:
        model = Network(json.load(stream)).to(device)
    images = torch.rand(examples, *model.shape)
    labels = torch.randint(model.classes, (examples,))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images, labels = images.contiguous(memory_format=torch.channels_last).to(device), labels.to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    model.train()

    def epoch():
        total_loss, correct = 0.0, 0
        order = torch.randperm(examples)
        for first in range(0, examples, batch_size):
            index = order[first:first + batch_size]
            x, y = images[index], labels[index]
            if channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            logits = model(x)
            loss = criterion(logits, y)
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
            correct += (logits.argmax(1) == y).sum().item()

    epoch()  # warms up
    epochs, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        epoch()
        epochs += 1
    elapsed = time.perf_counter() - start
    print(json.dumps({"parameters": sum(p.numel() for p in model.parameters()),
                      "images_per_second": epochs * examples / elapsed}))


if __name__ == "__main__":
    main()
