"""Make `listen.mp4` of a run: a held-out sentence as recorded, reconstructed and converted.

Usage: python scripts/make_listen_video.py [RUN] [--utterance kumo_036] [--voice blend]
           [--ffmpeg PATH]

Plays sounds that were saved with the run's score card, one after another; the picture shows their
spectrograms, a frame around the one that plays, and its name. Any video player plays the file, also
where there is neither Python nor Jupyter. It needs ffmpeg, which is no dependency of the project.
Where the system has none, a wheel brings one, best in an environment of its own:

    python -m venv ffmpeg-env && ffmpeg-env/bin/pip install imageio-ffmpeg
    python scripts/make_listen_video.py --ffmpeg "$(ffmpeg-env/bin/python -c \
        'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')"
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import vqwn_kit as vq
from vqwn_kit import plots
from vqwn_kit.data.audio import SAMPLE_RATE
from vqwn_kit.files import replacing

GAP = 0.6  # seconds of silence after each sound
DPI = 100  # of the picture, which is then 800 x 550
ORANGE = "#D55E00"


def main() -> None:
    """Write the video into the run's folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", nargs="?", default="mini")
    parser.add_argument("--utterance", default="kumo_036")
    parser.add_argument("--voice", default="blend")
    parser.add_argument("--ffmpeg", default="ffmpeg")
    options = parser.parse_args()
    run = vq.load_run(options.run)
    player = vq.play(run, options.utterance, [options.voice], saved=True)
    sounds = [np.pad(s, (0, round(GAP * SAMPLE_RATE))) for s in player.tracks.values()]
    with tempfile.TemporaryDirectory() as scratch:
        sound = vq.save_audio(Path(scratch) / "sound.wav", np.concatenate(sounds))
        inputs = ["-i", str(sound)]
        for number, (name, wave) in enumerate(zip(player.tracks, sounds, strict=True)):
            picture = Path(scratch) / f"{number}.png"
            picture_of(player, name).savefig(picture, dpi=DPI)
            seconds = f"{len(wave) / SAMPLE_RATE:.3f}"
            inputs += ["-loop", "1", "-framerate", "10", "-t", seconds, "-i", str(picture)]
        with replacing(run.folder / "listen.mp4") as target:
            encode(options.ffmpeg, inputs, len(sounds), target)
    print(f"{run.folder / 'listen.mp4'}: {', '.join(player.tracks)}")


def picture_of(player: vq.Player, name: str) -> Figure:
    """Return the spectrograms of all tracks, with a frame around the one that plays."""
    figure = Figure()
    plots.plot_spectrograms(player.tracks, figure=figure)
    for ax, track in zip(figure.axes, player.tracks, strict=True):
        plays = track == name
        ax.set_title(f"▶ {track}" if plays else track, color=ORANGE if plays else "black")
        for spine in ax.spines.values():
            spine.set(visible=plays, color=ORANGE, linewidth=4)
    figure.suptitle(player.title, parse_math=False)
    return figure


def encode(ffmpeg: str, inputs: list[str], count: int, target: Path) -> None:
    """Join a sound and `count` pictures to a video that browsers and phones play."""
    parts = "".join(f"[{number + 1}:v]" for number in range(count))
    video = ["-filter_complex", f"{parts}concat=n={count}[v]", "-map", "[v]", "-map", "0:a"]
    video += ["-c:v", "libx264", "-tune", "stillimage", "-crf", "26", "-pix_fmt", "yuv420p"]
    audio = ["-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-movflags", "+faststart"]
    command = [ffmpeg, "-loglevel", "error", "-y", *inputs, *video, *audio, "-f", "mp4"]
    subprocess.run([*command, str(target)], check=True)


if __name__ == "__main__":
    main()
