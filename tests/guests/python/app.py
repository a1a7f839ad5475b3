"""A Python guest that misbehaves: one function for each way, and an honest one.

Written over the raw contract, as componentize-py gives it. Each function takes `x: int64` and says that it gives
`y: int64`. What each must meet is written in tests/hostile/languages.rs.
"""

import os
import socket
import sys
import time

import wit_world
from componentize_py_types import Err
from wit_world.exports import Describe, Transform
from wit_world.imports import types


def honest(x):
    return x


def loop(x):
    while True:
        pass


def grow(x):
    held = []
    while True:
        held.append(bytearray(1 << 20))


def exception(x):
    raise ValueError("on purpose")


def error(x):
    raise Err("refused on purpose")


def giant_output(x):
    return bytes(8 << 20) * 8


def recursion(x):
    sys.setrecursionlimit(1 << 30)

    def down(depth):
        return down(depth + 1) + 1

    return down(0)


def log_flood(x):
    for _ in range(2_000):
        print("x" * 1_024)
    return x


def wrong_type(x):
    return 7


def open_a_file(x):
    taken("a file", lambda: open("/etc/passwd").read())


def environment(x):
    if os.environ:
        raise Err("the host gave " + next(iter(os.environ)))
    raise Err("refused: no environment")


def connect(x):
    taken("a socket", lambda: socket.create_connection(("127.0.0.1", 22)))


def run_a_program(x):
    taken("a process", lambda: os.execv("/bin/sh", ["sh"]))


def exit_at_once(x):
    os._exit(0)


def sleep(x):
    time.sleep(3_600)
    return x


def taken(what, attempt):
    """Nothing is there to be taken: says whether the host held."""
    try:
        attempt()
    except Exception as refused:
        raise Err(f"refused: {type(refused).__name__}")
    raise Err("the host gave " + what)


FUNCTIONS = [
    honest,
    loop,
    grow,
    exception,
    error,
    giant_output,
    recursion,
    log_flood,
    wrong_type,
    open_a_file,
    environment,
    connect,
    run_a_program,
    exit_at_once,
    sleep,
]


def port(name, field):
    return types.Port(name, [types.Field(field, "int64", False, [])])


class Describe(Describe):
    def describe(self):
        return [
            types.FunctionDescription(
                function.__name__.replace("_", "-"), "transform", [port("in", "x")], [port("out", "y")], []
            )
            for function in FUNCTIONS
        ]


class Transform(Transform):
    def call(self, function, inputs):
        batch = inputs[0]
        y = FUNCTIONS[function](batch.columns[0].buffers[0])
        column = types.Column(None, [y])
        return types.Output([types.PortOutput(types.Batch(batch.rows, [column]), None)], None)
