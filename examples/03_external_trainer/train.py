"""Trains one candidate for the evaluator `command`: the request on standard input, reports and the result on standard
output (docs/command.md). Python's standard library and nothing else: forward and backward pass are written out.

The problem: which of two interleaved spirals does a point of the plane lie on? The space `chain` is handed a point as an
image of one pixel with two channels, on which a 1x1 convolution is a fully connected layer.
"""

import json
import math
import random
import sys
from operator import mul

TRAIN, VALIDATION, TEST = 240, 200, 400
EPOCHS, BATCH_SIZE, LR, MOMENTUM = 15, 8, 0.05, 0.9


def say(**event):
    print(json.dumps(event), flush=True)


def spirals(count, generator):
    """Points ((x, y), class); each spiral turns more than once around the origin."""
    points = []
    for index in range(count):
        label, turn = index % 2, 0.2 + 2.2 * generator.random()
        angle = math.pi * (turn + label)
        points.append(([turn * f(angle) + generator.gauss(0, 0.1) for f in (math.cos, math.sin)], label))
    return points


class Dense:
    """A fully connected layer, and the ReLU behind it if there is one."""

    def __init__(self, inputs, outputs, generator):
        deviation = math.sqrt(2 / inputs)  # He et al. 2015
        self.weights = [[generator.gauss(0, deviation) for _ in range(inputs)] + [0.0] for _ in range(outputs)]  # bias last
        self.velocities = [[0.0] * (inputs + 1) for _ in range(outputs)]
        self.relu = False
        self.clear()

    def clear(self):
        self.gradients = [[0.0] * len(row) for row in self.weights]

    def forward(self, inputs):
        self.inputs = inputs + [1.0]
        self.outputs = [sum(map(mul, row, self.inputs)) for row in self.weights]
        if self.relu:
            self.outputs = [max(0.0, value) for value in self.outputs]
        return self.outputs

    def backward(self, deltas):
        """From the loss's gradient with respect to the outputs to that with respect to the inputs."""
        if self.relu:
            deltas = [delta if value > 0 else 0.0 for delta, value in zip(deltas, self.outputs)]
        back = [0.0] * (len(self.inputs) - 1)
        for row, gradient, delta in zip(self.weights, self.gradients, deltas):
            if delta != 0.0:
                gradient[:] = [g + delta * x for g, x in zip(gradient, self.inputs)]
                back = [b + delta * w for b, w in zip(back, row)]
        return back

    def step(self, lr):
        for row, velocity, gradient in zip(self.weights, self.velocities, self.gradients):
            velocity[:] = [MOMENTUM * v + g / BATCH_SIZE for v, g in zip(velocity, gradient)]
            row[:] = [w - lr * v for w, v in zip(row, velocity)]
        self.clear()


def build(architecture, generator):
    """The layers of a chain, node by node."""
    layers, width = [], 2
    for node in architecture["nodes"]:
        operation, attributes = node["operation"], node.get("attributes", {})
        if operation in ("conv2d", "linear"):
            outputs = attributes.get("channels") or attributes["features"]
            layers.append(Dense(width, outputs, generator))
            width = outputs
        elif operation == "activation" and attributes["function"] == "relu":
            layers[-1].relu = True
        elif operation not in ("input", "flatten", "global_avg_pool", "dropout"):  # of one pixel: nothing to do
            sys.exit(f"train.py does not know the operation {operation}, node {node['name']}")
    return layers


def probabilities(layers, values):
    for layer in layers:
        values = layer.forward(values)
    exponentials = [math.exp(value - max(values)) for value in values]
    return [value / sum(exponentials) for value in exponentials]


def accuracy(layers, points):
    right = sum(probabilities(layers, point)[label] > 0.5 for point, label in points)
    return 100 * right / len(points)


def train_epoch(layers, points, lr):
    """Stochastic gradient descent with momentum; the mean cross entropy of the epoch."""
    loss = 0.0
    for begin in range(0, len(points), BATCH_SIZE):
        for point, label in points[begin : begin + BATCH_SIZE]:
            deltas = probabilities(layers, point)
            loss -= math.log(max(deltas[label], 1e-12)) / len(points)
            deltas[label] -= 1.0
            for layer in reversed(layers):
                deltas = layer.backward(deltas)
        for layer in layers:
            layer.step(lr)
    return loss


def main():
    request = json.loads(sys.stdin.readline())
    data = random.Random(2020)  # the same points in every trial
    train, validation, test = (spirals(count, data) for count in (TRAIN, VALIDATION, TEST))
    generator = random.Random(request["seed"])
    layers = build(request["architecture"], generator)
    epochs = request["fidelity"].get("epochs", EPOCHS)
    for epoch in range(1, epochs + 1):
        generator.shuffle(train)
        loss = train_epoch(layers, train, LR * (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2)
        metrics = {"train_loss": loss, "validation_accuracy": accuracy(layers, validation)}
        say(event="report", epoch=epoch, **metrics)
        if json.loads(sys.stdin.readline())["verdict"] != "continue":
            break
    if request["job"] == "final":  # during the search the test points are not looked at
        metrics["test_accuracy"] = accuracy(layers, test)
    say(event="result", metrics=metrics)


main()
