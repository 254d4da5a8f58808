"""Units with NumPy alone: `python encoder.py encoder.npz RECORDING.wav` (16 kHz) prints them."""

import sys
import wave

import numpy as np


def conv(x, kernel, bias, stride):
    """Convolve x (N, C) with a kernel (taps, C, D), zeros at both ends; return (N / stride, D)."""
    frames = -(-len(x) // stride)
    zeros = max((frames - 1) * stride + len(kernel) - len(x), 0)
    x = np.pad(x, ((zeros // 2, zeros - zeros // 2), (0, 0)))
    taps = (x[k : k + (frames - 1) * stride + 1 : stride] @ w for k, w in enumerate(kernel))
    return sum(taps) + bias


def features(waveform, f):
    """Return log-mel bands, or MFCC with slopes and curvatures, of a waveform (T,)."""
    size = len(f["basis"])
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, size // 2), size)
    real, imaginary = np.split(windows[: -1 : f["step"]] @ f["basis"], 2, axis=1)
    x = 10 * np.log10(np.maximum((real**2 + imaginary**2) @ f["mel"], 1e-10))
    x = np.maximum(x, x.max() - f["top_db"]).astype(np.float32)
    if "dct" in f:
        x = (x @ f["dct"]).astype(np.float32)
        longer = np.pad(x, ((0, max(0, 9 - len(x))), (0, 0)), mode="edge")
        fits = np.lib.stride_tricks.sliding_window_view(longer, 9, axis=0) @ f["deltas"]
        nearest = np.clip(np.arange(len(x)) - 4, 0, len(fits) - 1)
        x = np.concatenate([x, fits[nearest, :, 0], fits[nearest, :, 1]], axis=1)
    return (x * f["feature_scale"] + f["feature_shift"]).astype(np.float32)


def encode(waveform, f):
    """Return z_e (N, D) and codes (N,) or (N, Q) of a waveform (T,) in [-1, 1] at 16 kHz."""
    x = np.pad(waveform, (0, -len(waveform) % f["hop_length"]))
    x = features(x, f) if "basis" in f else x[:, None]
    for n, (stride, relu, residual) in enumerate(f["layers"]):
        y = conv(x, f[f"kernel_{n}"], f[f"bias_{n}"], stride)
        y = np.maximum(y, 0) if relu else y
        x = (x + y if residual else y) * f[f"scale_{n}"] + f[f"shift_{n}"]
    left, codes = x, []
    for n in range(f["num_codebooks"]):
        u = left @ f[f"code_kernel_{n}"] + f[f"code_bias_{n}"]
        u = u / np.linalg.norm(u, axis=1, keepdims=True) if f["unit_norm"] else u
        words = f[f"codewords_{n}"]
        codes.append(np.argmin((words**2).sum(axis=1) - 2 * u @ words.T, axis=1))
        left = left - f[f"vectors_{n}"][codes[-1]]
    return x, codes[0] if len(codes) == 1 else np.stack(codes, axis=1)


def read(path):
    """Return a recording, 16-bit mono at 16 kHz, as a waveform (T,) in [-1, 1]."""
    try:
        with wave.open(path) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            samples = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        form, samples = None, b""
    if form != (1, 2, 16000) or not samples:
        sys.exit(f"{path}: expected a WAV file of 16 bits, one channel, 16000 Hz: convert it")
    return np.frombuffer(samples, "<i2") / np.float32(32768)


if __name__ == "__main__":
    print(*encode(read(sys.argv[2]), dict(np.load(sys.argv[1])))[1].tolist())
