"""One WaveNet step as compiled code: vector kernels, a barrier, and the loop over samples.

Numba compiles it at first use, about as wide as the processor's registers, and keeps the result on
disk; LLVM fits the vectors below to any processor. Widths are padded with zeros to whole panels.
All arrays are flat, since the kernels work on offsets. It is one file, however long, because Numba
looks at the file of `run` alone to see whether what it kept is old.
"""

import math
import os
from typing import NamedTuple

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vqwn_kit.models.distributions import LEAST_LOG_SCALE

LANES = 16  # numbers in a vector
PANEL = 32  # columns of a matrix that are multiplied together
GATES = PANEL // 2  # a gate has a filter and an opening, half a panel each
LINE = 8  # int64 apart, so that no two threads write to one cache line
LEAST_EXPONENT, GREATEST_EXPONENT = -80.0, 40.0  # exp of these, and products of two, are finite
AHEAD = 4096  # bytes of weights that are asked for ahead
SPINS = 2000  # looks at a barrier before the processor is offered to others

# Rows that are multiplied together: so many that their sums stay in registers.
MOST_ROWS = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 2
_INT32, _INT64, _BYTE = ir.IntType(32), ir.IntType(64), ir.IntType(8).as_pointer()


class Network(NamedTuple):
    """A decoder's weights, packed; see `packing.pack`. Widths are padded."""

    channels: int  # C between the blocks
    gates: int  # G
    skips: int  # S
    scores: int  # outputs
    levels: int
    mixtures: int
    heard: int  # C of the input: 1, or the levels
    taps: int  # K
    first_taps: int
    dilations: np.ndarray  # (L,)
    steps: np.ndarray  # (L,) of samples whose past taps are one product
    first: np.ndarray
    first_bias: np.ndarray
    first_skip: np.ndarray
    first_skip_bias: np.ndarray
    told: np.ndarray  # of what a frame tells all blocks and the output
    told_bias: np.ndarray
    past: np.ndarray  # of the taps before the last one
    past_scale: np.ndarray
    conv: np.ndarray  # of the last tap
    conv_scale: np.ndarray
    out: np.ndarray
    out_scale: np.ndarray
    out_bias: np.ndarray
    post: np.ndarray
    final: np.ndarray
    final_bias: np.ndarray
    nothing: np.ndarray  # zeros, as many as the widest matrix has columns


class Memory(NamedTuple):
    """What lasts from sample to sample, for B streams."""

    rings: np.ndarray  # (sum of spans, B, C): inputs of each block
    past: np.ndarray  # (L, most steps, B, 2 G): what the past taps add to the coming steps
    told: np.ndarray  # (4, B, L 2 G + S): of the frame before, here and after; and between them
    x: np.ndarray  # (B, C)
    mixed: np.ndarray  # (B, 2 G)
    gated: np.ndarray  # (B, G)
    total: np.ndarray  # (B, S)
    hidden: np.ndarray  # (B, S)
    score: np.ndarray  # (B, scores)
    mass: np.ndarray  # (B, scores)
    recent: np.ndarray  # (B, first taps): levels, -1 before the first
    scalars: np.ndarray  # (B, first taps): the same in [-1, 1]
    zeros: np.ndarray  # (1,)
    marks: np.ndarray  # (threads, LINE): how many barriers each has reached


def _at(context, builder, kind, array, index):
    """Return a pointer to array[index]."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _load(builder, pointer, vector, size):
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = size
    return loaded


def _store(builder, value, pointer, size):
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = size


def _spread(builder, scalar):
    """Return a vector of one number."""
    vector = ir.VectorType(scalar.type, LANES)
    empty = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(empty, scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(
        one, empty, ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    )


def _call(builder, name, *vectors):
    kind = vectors[0].type
    suffix = "f64" if isinstance(kind.element, ir.DoubleType) else "f32"
    signature = ir.FunctionType(kind, [kind] * len(vectors))
    full = f"llvm.{name}.v{LANES}{suffix}"
    return builder.call(builder.module.declare_intrinsic(full, fnty=signature), vectors)


def _as_float(builder, loaded, vector):
    """Return weights as floats: bfloat16 is the upper half of a float32, int8 a whole number."""
    whole = ir.VectorType(_INT32, LANES)
    if loaded.type.element == ir.IntType(16):
        bits = builder.zext(loaded, whole)
        return builder.bitcast(builder.shl(bits, ir.Constant(whole, [16] * LANES)), vector)
    if loaded.type.element == ir.IntType(8):
        return builder.sitofp(builder.sext(loaded, whole), vector)
    return loaded


def _tile(builder, rows, x, w, scale, a, b, out, terms, vector, weights):
    """Emit out[r] = a[r] + b[r] + scale * (x[r] @ w) for some rows and one panel of columns.

    The arguments from `x` to `out` tell the pointer to each of their rows; `w` and `scale` have
    but one.
    """
    size = 8 if isinstance(vector.element, ir.DoubleType) else 4
    weight_size = {8: 1, 16: 2}.get(getattr(weights.element, "width", None), size)
    offsets = range(0, PANEL, LANES)
    before = builder.block
    loop, after = builder.append_basic_block("terms"), builder.append_basic_block("sums")
    rows_x = [x(row) for row in range(rows)]
    builder.branch(loop)
    builder.position_at_end(loop)
    term = builder.phi(_INT64)
    term.add_incoming(_INT64(0), before)
    sums = [[builder.phi(vector) for _ in offsets] for _ in range(rows)]
    start = builder.gep(w, [builder.mul(term, _INT64(PANEL))])
    _prefetch(builder, start, AHEAD // weight_size, PANEL * weight_size)
    columns = [
        _as_float(builder, _load(builder, _step(builder, start, o), weights, weight_size), vector)
        for o in offsets
    ]
    for row in range(rows):
        value = _spread(builder, builder.load(builder.gep(rows_x[row], [term])))
        for part, total in enumerate(sums[row]):
            added = _call(builder, "fma", value, columns[part], total)
            total.add_incoming(ir.Constant(vector, None), before)
            total.add_incoming(added, loop)
            sums[row][part] = added
    following = builder.add(term, _INT64(1))
    term.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, terms), loop, after)
    builder.position_at_end(after)
    for row in range(rows):
        for total, o in zip(sums[row], offsets, strict=True):
            if weights.element == ir.IntType(8):
                total = builder.fmul(total, _load(builder, _step(builder, scale, o), vector, size))
            first, second = (
                _load(builder, _step(builder, start(row), o), vector, size) for start in (a, b)
            )
            total = builder.fadd(builder.fadd(first, second), total)
            _store(builder, total, _step(builder, out(row), o), size)


def _step(builder, pointer, count):
    return builder.gep(pointer, [_INT64(count)])


def _prefetch(builder, pointer, ahead, size):
    """Ask for memory that the coming terms read."""
    byte = builder.bitcast(_step(builder, pointer, ahead), _BYTE)
    kind = ir.FunctionType(ir.VoidType(), [_BYTE, _INT32, _INT32, _INT32])
    function = builder.module.declare_intrinsic("llvm.prefetch", (_BYTE,), kind)
    for offset in range(0, size, 64):
        builder.call(function, [_step(builder, byte, offset), _INT32(0), _INT32(3), _INT32(1)])


def _affine_function(module, number, weight):
    """Return the function behind `_affine` for the types of numbers and weights, made once."""
    name = f"affine_{number}_{weight}"
    if name in module.globals:
        return module.globals[name]
    place, sizes = number.as_pointer(), [_INT64] * 3
    arguments = [
        place, _INT64, weight.as_pointer(), _INT64, place, place, _INT64, place, _INT64, place,
        _INT64, *sizes,
    ]  # fmt: skip
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    x, xs, w, ws, scale, a, a_s, b, bs, out, os_, terms, panels, rows = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    vector, weights = ir.VectorType(number, LANES), ir.VectorType(weight, LANES)
    with cgutils.for_range(builder, panels) as panel:
        column = builder.mul(panel.index, _INT64(PANEL))

        def tile(count, first):
            def rows_of(pointer, step, shift):
                moved = builder.gep(pointer, [column]) if shift else pointer
                return lambda row: builder.gep(
                    moved, [builder.mul(step, builder.add(first, _INT64(row)))]
                )

            _tile(
                builder, count, rows_of(x, xs, False),
                builder.gep(w, [builder.mul(ws, panel.index)]), builder.gep(scale, [column]),
                rows_of(a, a_s, True), rows_of(b, bs, True), rows_of(out, os_, True), terms,
                vector, weights,
            )  # fmt: skip

        with cgutils.for_range(builder, builder.sdiv(rows, _INT64(MOST_ROWS))) as many:
            tile(MOST_ROWS, builder.mul(many.index, _INT64(MOST_ROWS)))
        fewer = MOST_ROWS // 2
        while fewer:
            with builder.if_then(
                builder.icmp_signed("!=", builder.and_(rows, _INT64(fewer)), _INT64(0))
            ):
                tile(fewer, builder.and_(rows, _INT64(-2 * fewer)))
            fewer //= 2
    builder.ret_void()
    return function


@intrinsic
def _affine(
    typingctx, x, xi, xs, w, wi, ws, scale, si, a, ai, a_s, b, bi, bs, out, oi, os_, terms, panels,
    rows,
):  # fmt: skip
    """out[r] = a[r] + b[r] + scale * (x[r] @ w), for rows of x and panels of columns.

    `_i` is where an array begins; `_s` is the step from row to row, of w from panel to panel. Each
    sum is made in the same order however many rows and panels there are.
    """
    place = types.intp
    signature = types.void(
        x, place, place, w, place, place, scale, place, a, place, place, b, place, place, out,
        place, place, place, place, place,
    )  # fmt: skip

    def codegen(context, builder, signature, args):
        def at(index):
            return _at(context, builder, signature.args[index], args[index], args[index + 1])

        number = context.get_value_type(signature.args[0].dtype)
        weight = context.get_value_type(signature.args[3].dtype)
        function = _affine_function(builder.module, number, weight)
        builder.call(
            function,
            [
                at(0), args[2], at(3), args[5], at(6), at(8), args[10], at(11), args[13], at(14),
                *args[16:],
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, codegen


def _exp(builder, x):
    """Return exp of a vector to its precision: a power of two, times a Taylor series."""
    double = isinstance(x.type.element, ir.DoubleType)
    terms, bias, fraction = (13, 1023, 52) if double else (7, 127, 23)

    def const(value):
        return ir.Constant(x.type, [value] * LANES)

    least, most = const(LEAST_EXPONENT), const(GREATEST_EXPONENT)
    x = builder.select(builder.fcmp_ordered("<", x, least), least, x)
    x = builder.select(builder.fcmp_ordered(">", x, most), most, x)
    power = _call(builder, "rint", builder.fmul(x, const(1 / math.log(2))))
    # ln 2 in two parts, the first with few digits: its product with a small whole number is exact
    high = math.ldexp(round(math.ldexp(math.log(2), 12)), -12)
    rest = _call(builder, "fma", power, const(-high), x)
    rest = _call(builder, "fma", power, const(high - math.log(2)), rest)
    series = const(1 / math.factorial(terms))
    for term in range(terms - 1, -1, -1):
        series = _call(builder, "fma", series, rest, const(1 / math.factorial(term)))
    whole = ir.VectorType(_INT64 if double else _INT32, LANES)
    bits = builder.add(builder.fptosi(power, whole), ir.Constant(whole, [bias] * LANES))
    bits = builder.shl(bits, ir.Constant(whole, [fraction] * LANES))
    return builder.fmul(series, builder.bitcast(bits, x.type))


def _gate(builder, load, out, p, q):
    """tanh(f) sigmoid(s), as one fraction."""
    f, s = load(0), load(LANES)
    one, minus_two = (ir.Constant(f.type, [value] * LANES) for value in (1.0, -2.0))
    e = _exp(builder, builder.fmul(f, minus_two))
    below = builder.fmul(builder.fadd(one, e), builder.fadd(one, _exp(builder, builder.fneg(s))))
    return builder.fdiv(builder.fsub(one, e), below)


def _relu(builder, load, out, p, q):
    x = load(0)
    zero = ir.Constant(x.type, None)
    return builder.select(builder.fcmp_ordered(">", x, zero), x, zero)


def _softmax_mass(builder, load, out, p, q):
    return _exp(builder, builder.fmul(builder.fsub(load(0), p), q))


def _each(build):
    """Return an intrinsic: out[oi:] = build(a[ai:], p, q) for a vector, p and q being numbers."""

    @intrinsic
    def each(typingctx, out, oi, a, ai, p, q):
        signature = types.void(out, types.intp, a, types.intp, a.dtype, a.dtype)

        def codegen(context, builder, signature, args):
            out, oi, a, ai, p, q = args
            kind = signature.args[2]
            size = kind.dtype.bitwidth // 8
            vector = ir.VectorType(context.get_value_type(kind.dtype), LANES)
            start = _at(context, builder, kind, a, ai)

            def load(offset):
                pointer = builder.gep(start, [ir.Constant(_INT64, offset)])
                return _load(builder, pointer, vector, size)

            target = _at(context, builder, signature.args[0], out, oi)
            value = build(
                builder,
                load,
                lambda: _load(builder, target, vector, size),
                _spread(builder, p),
                _spread(builder, q),
            )
            _store(builder, value, target, size)
            return context.get_dummy_value()

        return signature, codegen

    return each


_gate_vector = _each(_gate)
_relu_vector = _each(_relu)
_mass_vector = _each(_softmax_mass)
_copy_vector = _each(lambda builder, load, out, p, q: load(0))
_add_vector = _each(lambda builder, load, out, p, q: builder.fadd(out(), load(0)))


@intrinsic
def _announce(typingctx, marks, index, value):
    """Write marks[index] after all that was written before."""
    signature = types.void(marks, types.intp, types.int64)

    def codegen(context, builder, signature, args):
        pointer = _at(context, builder, signature.args[0], args[0], args[1])
        builder.store_atomic(args[2], pointer, "release", 8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _read(typingctx, marks, index):
    """Read marks[index] before all that is read after."""
    signature = types.int64(marks, types.intp)

    def codegen(context, builder, signature, args):
        pointer = _at(context, builder, signature.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "acquire", 8)

    return signature, codegen


@intrinsic
def _give_way(typingctx):
    """Offer the processor to other threads, where the system has a call for it."""
    signature = types.void()

    def codegen(context, builder, signature, args):
        if os.name == "posix":
            kind = ir.FunctionType(_INT32, [])
            name = "sched_yield"
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            builder.call(function, [])
        return context.get_dummy_value()

    return signature, codegen


@numba.njit(nogil=True, error_model="numpy")
def _meet(me, team, marks, meeting):
    """Wait until all threads of the team have come to this meeting."""
    _announce(marks, me * LINE, meeting)
    for other in range(team):
        looks = 0
        while _read(marks, other * LINE) < meeting:
            looks += 1
            if looks > SPINS:
                _give_way()
                looks = 0


@numba.njit(nogil=True, error_model="numpy")
def _hear(first, last, net, mem):
    """Write panels of the first convolution's output into x."""
    batch, channels = mem.recent.shape[0], net.channels
    zero = mem.zeros[0]
    at = first * PANEL
    if net.heard == 1:
        taps = net.first_taps
        _affine(
            mem.scalars, 0, taps, net.first, at * taps, taps * PANEL, mem.zeros, 0,
            net.first_bias, at, 0, net.nothing, at, 0, mem.x, at, channels, taps, last - first,
            batch,
        )  # fmt: skip
        return
    for b in range(batch):
        for c in range(at, last * PANEL, LANES):
            _copy_vector(mem.x, b * channels + c, net.first_bias, c, zero, zero)
            for tap in range(net.first_taps):
                level = mem.recent[b, tap]
                if level >= 0:
                    row = (tap * net.heard + level) * channels + c
                    _add_vector(mem.x, b * channels + c, net.first, row, zero, zero)


@numba.njit(nogil=True, error_model="numpy")
def _tell(first, last, column, place, row, num_frames, net, mem, frames):
    """Write panels of what frame `row` tells, from `column` on, to a place of `told`."""
    batch, width = mem.recent.shape[0], len(net.told_bias)
    heard = len(frames) // (batch * num_frames)
    at = column + first * PANEL
    _affine(
        frames, row * heard, num_frames * heard, net.told, at * heard, heard * PANEL,
        mem.zeros, 0, net.told_bias, at, 0, net.nothing, at, 0,
        mem.told, place * batch * width + at, width, heard, last - first, batch,
    )  # fmt: skip


@numba.njit(nogil=True, error_model="numpy")
def _mix(first, last, column, row, line, net, mem):
    """Write panels between the frames before, at and after row - 1 to place 3 of `told`."""
    batch, width = mem.recent.shape[0], len(net.told_bias)
    for b in range(batch):
        for c in range(column + first * PANEL, column + last * PANEL):
            value = line[0] * mem.told[((row - 2) % 3 * batch + b) * width + c]
            value += line[1] * mem.told[((row - 1) % 3 * batch + b) * width + c]
            value += line[2] * mem.told[(row % 3 * batch + b) * width + c]
            mem.told[(3 * batch + b) * width + c] = value


@numba.njit(nogil=True, error_model="numpy")
def _look_back(first, last, block, base, now, net, mem):
    """Add up what the past taps of a block will add to its next `steps` samples, as products.

    The inputs of the coming steps that they read are at least a dilation ago, and so known.
    """
    batch, channels, mixed = mem.recent.shape[0], net.channels, 2 * net.gates
    dilation, taps = net.dilations[block], net.taps - 1
    start = block * (mem.past.size // len(net.dilations)) + first * PANEL
    panel = block * (mixed // PANEL) + first
    for tap in range(taps):
        slot = base + (now + tap * dilation) % (taps * dilation)
        before, at, step = (mem.past, start, mixed) if tap else (net.nothing, 0, 0)
        _affine(
            mem.rings, slot * batch * channels, channels,
            net.past, (panel * taps + tap) * channels * PANEL, taps * channels * PANEL,
            net.past_scale, panel * PANEL, before, at, step, net.nothing, 0, 0,
            mem.past, start, mixed, channels, last - first, net.steps[block] * batch,
        )  # fmt: skip


@numba.njit(nogil=True, error_model="numpy")
def _convolve(first, last, block, now, place, net, mem):
    """Write panels of a block's gates."""
    batch, channels, mixed = mem.recent.shape[0], net.channels, 2 * net.gates
    panel, at = block * (mixed // PANEL) + first, first * PANEL
    width = len(net.told_bias)
    past = block * (mem.past.size // len(net.dilations)) + now % net.steps[block] * batch * mixed
    _affine(
        mem.x, 0, channels, net.conv, panel * channels * PANEL, channels * PANEL,
        net.conv_scale, panel * PANEL, mem.past, past + at, mixed,
        mem.told, place * batch * width + block * mixed + at, width, mem.mixed, at, mixed,
        channels, last - first, batch,
    )  # fmt: skip
    zero = mem.zeros[0]
    for b in range(batch):
        for p in range(first, last):
            gate = b * net.gates + p * GATES
            _gate_vector(mem.gated, gate, mem.mixed, b * mixed + p * PANEL, zero, zero)


@numba.njit(nogil=True, error_model="numpy")
def _add_branch(first, last, skip, into, width, block, net, mem):
    """Add panels of a block's output, those of x or from `skip` on those of the skips."""
    columns = net.channels + net.skips
    at, column = first * PANEL, block * columns + skip + first * PANEL
    _affine(
        mem.gated, 0, net.gates, net.out, column * net.gates, net.gates * PANEL,
        net.out_scale, column, into, at, width, net.out_bias, column, 0, into, at, width,
        net.gates, last - first, mem.recent.shape[0],
    )  # fmt: skip


@numba.njit(nogil=True, error_model="numpy")
def _keep(first, last, slot, net, mem):
    """Put panels of x into a slot of the rings."""
    batch, channels = mem.recent.shape[0], net.channels
    zero = mem.zeros[0]
    for b in range(batch):
        for c in range(b * channels + first * PANEL, b * channels + last * PANEL, LANES):
            _copy_vector(mem.rings, slot * batch * channels + c, mem.x, c, zero, zero)


@numba.njit(nogil=True, error_model="numpy")
def _rectify(first, last, array, width, batch, zero):
    for b in range(batch):
        for c in range(b * width + first * PANEL, b * width + last * PANEL, LANES):
            _relu_vector(array, c, array, c, zero, zero)


@numba.njit(nogil=True, error_model="numpy")
def _share(width, me, team):
    """Return the first panel of a thread, and the one after its last."""
    panels = width // PANEL
    return panels * me // team, panels * (me + 1) // team


@numba.njit(nogil=True, error_model="numpy")
def _remember(b, level, net, mem):
    """Put a stream's newest level at the end of what the first convolution reads."""
    last = net.first_taps - 1
    for tap in range(last):
        mem.recent[b, tap] = mem.recent[b, tap + 1]
        mem.scalars[b * net.first_taps + tap] = mem.scalars[b * net.first_taps + tap + 1]
    mem.recent[b, last] = level
    mem.scalars[b * net.first_taps + last] = level * (2.0 / (net.levels - 1)) - 1.0


# NumPy's own functions would take longer to compile than all that is here.


@numba.njit(nogil=True, error_model="numpy")
def _likeliest(score, count):
    """Return the first of the greatest of some scores."""
    best = 0
    for level in range(count):
        if score[level] > score[best]:
            best = level
    return best


@numba.njit(nogil=True, error_model="numpy")
def _choose(net, score, mass, greedy, temperature, top_k, uniform):
    """Return a level: the likeliest, or the first whose cumulative probability passes `uniform`."""
    if net.mixtures:
        _components(score, mass, net.mixtures, 1.0 if greedy else temperature)
        if greedy:
            return _likeliest_of_mixture(score, mass, net.mixtures, net.levels)
        return _draw_from_mixture(score, mass, net.mixtures, net.levels, uniform)
    best = _likeliest(score, net.levels)
    if greedy:
        return best
    top, sharpness = score[best], score.dtype.type(1.0 / temperature)
    for start in range(0, len(score), LANES):
        _mass_vector(mass, start, score, start, top, sharpness)
    if top_k:
        _keep_likeliest(score, mass, net.levels, top_k)
    total = 0.0
    for level in range(net.levels):
        total += mass[level]
    target, reached, chosen = uniform * total, 0.0, 0
    for level in range(net.levels):
        if mass[level] > 0:
            chosen = level
            reached += mass[level]
            if reached > target:
                break
    return chosen


@numba.njit(nogil=True, error_model="numpy")
def _keep_likeliest(score, mass, levels, top_k):
    """Take the mass of all but the likeliest `top_k` levels, and of those that equal the last."""
    least, kept = score[_likeliest(score, levels)], 0
    for _ in range(levels):  # at most; scores that are no numbers never end it
        following = least
        for level in range(levels):
            if score[level] == least:
                kept += 1
            elif score[level] < least and (following == least or score[level] > following):
                following = score[level]
        if kept >= top_k or following == least:
            break
        least = following
    for level in range(levels):
        if score[level] < least:
            mass[level] = 0


@numba.njit(nogil=True, error_model="numpy")
def _components(score, mass, mixtures, temperature):
    """Write the weights and scales of a mixture's parameters (3 M,) into mass (2 M,)."""
    top = score[_likeliest(score, mixtures)]
    total = 0.0
    for m in range(mixtures):
        mass[m] = np.exp((score[m] - top) / temperature)
        total += mass[m]
        log_scale = max(np.float64(score[2 * mixtures + m]), LEAST_LOG_SCALE)
        mass[mixtures + m] = np.exp(log_scale) * temperature
    for m in range(mixtures):
        mass[m] /= total


@numba.njit(nogil=True, error_model="numpy")
def _mass_up_to(level, score, mass, mixtures, levels):
    """Return the mixture's probability of all levels up to `level`; 1 from the last one on."""
    if level >= levels - 1:
        return 1.0
    edge = (2.0 * level + 1.0) / (levels - 1) - 1.0
    reached = 0.0
    for m in range(mixtures):
        mean, scale = score[mixtures + m], mass[mixtures + m]
        reached += mass[m] / (1.0 + np.exp((mean - edge) / scale))
    return reached


@numba.njit(nogil=True, error_model="numpy")
def _draw_from_mixture(score, mass, mixtures, levels, uniform):
    """Return the first level whose cumulative probability passes `uniform`, by halving."""
    low, high = 0, levels - 1
    while low < high:
        middle = (low + high) // 2
        if _mass_up_to(middle, score, mass, mixtures, levels) > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@numba.njit(nogil=True, error_model="numpy")
def _likeliest_of_mixture(score, mass, mixtures, levels):
    """Return the level of the greatest probability."""
    best, most, below = 0, -1.0, 0.0
    for level in range(levels):
        reached = _mass_up_to(level, score, mass, mixtures, levels)
        if reached - below > most:
            best, most = level, reached - below
        below = reached
    return best


@numba.njit(nogil=True, cache=True, error_model="numpy")
def run(
    me, team, net, mem, num_frames, frames, lines, hop_length, clock, uniform, known, greedy,
    temperature, top_k, levels, outputs,
):  # fmt: skip
    """Step a team's share through a block of samples; all its threads call this at once.

    Each thread owns panels of every matrix's output, and some streams for the drawing of levels;
    they meet wherever one needs what the others made. Every number is made in the same order
    however many threads and streams there are, so the sound doesn't depend on that.

    Args:
        me: number of this thread, 0..team - 1.
        team: threads.
        net: the weights.
        mem: the past, left as the next block needs it.
        num_frames: N + 2.
        frames: (B, N + 2, C), flat, with a neighbour at either end.
        lines: (hop, 3) weights between frames, or (0, 3) to repeat each.
        hop_length: samples a frame.
        clock: samples before this block.
        uniform: (B, T) random numbers in [0, 1).
        known: (B, T) levels to be fed back instead of those drawn, or (B, 0).
        greedy: take the likeliest level.
        temperature: divides the logits.
        top_k: levels to draw from, or 0 for all.
        levels: (B, T) int32, to be filled.
        outputs: (B, T, scores) to be filled where levels are known, or (B, 0, scores).
    """
    batch, blocks, mixed = mem.recent.shape[0], len(net.dilations), 2 * net.gates
    x0, x1 = _share(net.channels, me, team)
    s0, s1 = _share(net.skips, me, team)
    g0, g1 = _share(mixed, me, team)
    f0, f1 = _share(net.scores, me, team)
    width = len(net.told_bias)
    zero = mem.zeros[0]
    meeting = 0
    for row in range(num_frames):
        for block in range(blocks):
            _tell(g0, g1, block * mixed, row % 3, row, num_frames, net, mem, frames)
        _tell(s0, s1, blocks * mixed, row % 3, row, num_frames, net, mem, frames)
        for sample in range(hop_length if row >= 2 else 0):
            t = (row - 2) * hop_length + sample
            now = clock + t
            place = (row - 1) % 3
            if len(lines):
                place = 3
                for block in range(blocks):
                    _mix(g0, g1, block * mixed, row, lines[sample], net, mem)
                _mix(s0, s1, blocks * mixed, row, lines[sample], net, mem)
            _hear(x0, x1, net, mem)
            meeting += 1
            _meet(me, team, mem.marks, meeting)
            _affine(
                mem.x, 0, net.channels, net.first_skip, s0 * PANEL * net.channels,
                PANEL * net.channels, mem.zeros, 0, net.first_skip_bias, s0 * PANEL, 0,
                net.nothing, 0, 0, mem.total, s0 * PANEL, net.skips, net.channels, s1 - s0, batch,
            )  # fmt: skip
            base = 0
            for block in range(blocks):
                span = (net.taps - 1) * net.dilations[block]
                if now % net.steps[block] == 0:
                    _look_back(g0, g1, block, base, now, net, mem)
                _convolve(g0, g1, block, now, place, net, mem)
                meeting += 1
                _meet(me, team, mem.marks, meeting)
                _keep(x0, x1, base + now % span, net, mem)
                _add_branch(x0, x1, 0, mem.x, net.channels, block, net, mem)
                _add_branch(s0, s1, net.channels, mem.total, net.skips, block, net, mem)
                meeting += 1
                _meet(me, team, mem.marks, meeting)
                base += span
            _rectify(s0, s1, mem.total, net.skips, batch, zero)
            meeting += 1
            _meet(me, team, mem.marks, meeting)
            _affine(
                mem.total, 0, net.skips, net.post, s0 * PANEL * net.skips, PANEL * net.skips,
                mem.zeros, 0, mem.told, place * batch * width + blocks * mixed + s0 * PANEL, width,
                net.nothing, 0, 0, mem.hidden, s0 * PANEL, net.skips, net.skips, s1 - s0, batch,
            )  # fmt: skip
            _rectify(s0, s1, mem.hidden, net.skips, batch, zero)
            meeting += 1
            _meet(me, team, mem.marks, meeting)
            _affine(
                mem.hidden, 0, net.skips, net.final, f0 * PANEL * net.skips, PANEL * net.skips,
                mem.zeros, 0, net.final_bias, f0 * PANEL, 0, net.nothing, 0, 0,
                mem.score, f0 * PANEL, net.scores, net.skips, f1 - f0, batch,
            )  # fmt: skip
            meeting += 1
            _meet(me, team, mem.marks, meeting)
            for b in range(me, batch, team):
                score = mem.score[b * net.scores : (b + 1) * net.scores]
                if known.shape[1]:
                    level = known[b, t]
                    for c in range(outputs.shape[2]):
                        outputs[b, t, c] = score[c]
                else:
                    mass = mem.mass[b * net.scores : (b + 1) * net.scores]
                    level = _choose(net, score, mass, greedy, temperature, top_k, uniform[b, t])
                levels[b, t] = level
                _remember(b, level, net, mem)
            meeting += 1
            _meet(me, team, mem.marks, meeting)
