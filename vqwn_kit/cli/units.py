"""The commands on units: encode and decode; and the options of sampling."""

import sys
from pathlib import Path

import vqwn_kit as vq
from vqwn_kit.cli.data import given, number_or_word, seed
from vqwn_kit.errors import InputError
from vqwn_kit.files import counted
from vqwn_kit.runs.unit_output import SAVES

SAMPLING = ("codebooks", "mode", "temperature", "top_k", "seed", "precision", "threads")


def sampling_options(add) -> None:
    """Add the options of sampling, whose names are `SAMPLING`."""
    codebooks = "decode only the first N codes of each frame (residual codes; default: all)"
    add("--codebooks", codebooks, type=int, metavar="N")
    add("--mode -mode", "(default: sample)", default="sample", choices=("sample", "greedy"))
    kind = {"type": number_or_word, "default": 1.0}
    add("--temperature", "of sampling, or 'voiced': lower in vowels (default: 1)", **kind)
    add("--top-k", "sample from the K most probable levels only", type=int, metavar="K")
    add("--seed", "the same seed gives the same sound (default: 0)", type=seed, default=0)
    precision = "of the weights; `vqwn bench precision --run RUN` measures the cost of bfloat16"
    add("--precision", precision, default="float32", choices=("float32", "bfloat16"))
    add("--threads", "threads of the sampler (default: one per core)", type=int, metavar="N")


def _encode_options(add) -> None:
    add("run", "a run folder or a checkpoint, RUN/weights-STEP", metavar="RUN")
    add("recordings", "sound files, or folders of them", nargs="*", metavar="FILE|FOLDER")
    form = (
        "jsonl: a line per recording; text: its name and codes; npz, parquet: a file per recording"
    )
    add("--format", f"{form} (default: jsonl)", choices=tuple(SAVES), default="jsonl")
    save = "(default: units.jsonl, units.txt, or the folder units); a second call continues it"
    add("--save", save, metavar="PATH")
    add("--collapse", "write runs of equal codes with their durations", action="store_true")
    add("--times", "write start and end of each unit in seconds (not in text)", action="store_true")
    vectors = "write these vectors of each frame, too (npz and parquet)"
    add("--vectors", vectors, choices=("z_e", "z_q"))
    add("--textgrid", "also write a TextGrid of each recording there", metavar="FOLDER")
    add("--part", "seconds that are encoded at a time (default: by encoder)", type=float)
    add("--jobs", "processes (default: 1, which uses all cores)", type=int, default=1, metavar="N")
    export = "write the encoder and its codebooks as arrays instead, with a reader in NumPy"
    add("--export", export, metavar="FILE.npz")


def _encode(options) -> None:
    """Write the units of recordings: codes, times and vectors."""
    if options.export:
        if options.recordings:
            raise InputError("--export writes the encoder alone: leave the recordings out")
        from vqwn_kit.runs.export_encoder import export_encoder

        for path in export_encoder(options.run, options.export):
            print(path)
        return
    if not options.recordings:
        raise InputError("no recordings: give sound files or folders, or --export FILE.npz")
    names = ("collapse", "times", "vectors", "textgrid", "part", "jobs")
    settings = {"form": options.format, **given(options, *names)}
    try:
        done = vq.encode_files(options.run, options.recordings, options.save, **settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command continues") from None
    if done.cut:
        print(f"dropped a cut last line of {done.save} ({done.cut} bytes)", file=sys.stderr)
    for name, reason in done.skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    print(done)
    named = {str(Path(name)) for name in options.recordings} & done.skipped.keys()
    if named or not done.recordings + done.before:
        which = counted(len(named), "recordings") if named else "all recordings"
        raise InputError(f"{which} could not be encoded, see above")


def _decode_options(add) -> None:
    add("run", "a run folder or a checkpoint, RUN/weights-STEP", metavar="RUN")
    add("units", "what vqwn encode wrote", nargs="+", metavar="UNITS")
    voices = {"nargs": "+", "required": True, "metavar": "NAME"}
    add("--speaker --speakers", "target voices", **voices)
    sampling_options(add)
    add("--save", "(default: decoded); existing files are not overwritten", default="decoded")


def _decode(options) -> None:
    """Decode units into sound, in the voices of speakers."""
    from vqwn_kit.runs.decode import decode_files

    settings = {"progress": True, **given(options, *SAMPLING)}
    decode_files(options.run, options.units, options.speaker, options.save, print, **settings)


COMMANDS = {"encode": (_encode_options, _encode), "decode": (_decode_options, _decode)}
