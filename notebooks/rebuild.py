"""Run the notebooks in place, as they are committed: with outputs, without widget state.

Usage: python notebooks/rebuild.py [NAME ...], by default all.
"""

import base64
import io
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
VIEW = "application/vnd.jupyter.widget-view+json"


def rebuild(path: Path) -> None:
    """Execute one notebook and write it back, lean."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(HERE)}}
    client = NotebookClient(notebook, timeout=1800, resources=resources, record_timing=False)
    client.execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in merged(cell.outputs) if not is_bar(output)]
            for output in cell.outputs:
                data = output.get("data", {})  # a widget without its kernel is an error message
                data.pop(VIEW, None)
                if "image/png" in data:
                    data["image/png"] = lean(data["image/png"])
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def is_bar(output: dict) -> bool:
    """Return whether an output is a progress bar, which is a widget without a picture."""
    data = output.get("data", {})
    return output["output_type"] == "display_data" and VIEW in data and "image/png" not in data


def lean(picture: str) -> str:
    """Return a PNG in 256 colours, less than half as large; base64."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    if "A" in image.mode and image.getchannel("A").getextrema()[0] < 255:  # a widget's still
        method = Image.Quantize.FASTOCTREE
    else:
        image, method = image.convert("RGB"), Image.Quantize.MEDIANCUT
    file = io.BytesIO()
    image.quantize(256, method, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def merged(outputs: list) -> list:
    """Join the pieces that were written to one stream, and settle them; drop what is blank."""
    kept = []
    for output in outputs:
        same = kept and output["output_type"] == "stream" and kept[-1].get("name") == output["name"]
        if same:
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    for output in kept:
        if output["output_type"] == "stream":
            output["text"] = settled(output["text"])
    return [o for o in kept if o["output_type"] != "stream" or o["text"].strip()]


def settled(text: str) -> str:
    """Return what a terminal shows in the end: of each line, what follows its last return."""
    return "\n".join(line.rstrip("\r").split("\r")[-1] for line in text.split("\n"))


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.name for path in HERE.glob("[0-9]*.ipynb"))
    for name in names:
        rebuild(HERE / name)
