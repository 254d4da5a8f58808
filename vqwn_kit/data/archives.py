"""The published corpora that `download_corpus` knows: addresses, checksums, licences."""

from dataclasses import dataclass

EDINBURGH = "https://datashare.ed.ac.uk"


@dataclass(frozen=True)
class Archive:
    """A published archive."""

    urls: tuple[str, ...]  # the later ones are mirrors; the last one ends in the file's name
    md5: str  # from its publisher; "" where none is published
    gigabytes: float
    unpacks_to: str  # a folder below `data/` that exists once the archive is unpacked
    licence: str  # of the corpus
    title: str
    inside: str = ""  # folder below `data/` to unpack into, if the archive has no top folder

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.urls[-1].rpartition("/")[2]


def _openslr(path: str, *hosts: str) -> tuple[str, ...]:
    return tuple(f"https://{host}.org/resources/{path}" for host in hosts)


# Checksums of LibriSpeech: openslr.org/resources/12/md5sum.txt
_LIBRISPEECH = {
    "dev-clean": ("42e2234ba48799c1f50f24a7926300a1", 0.34, "40 speakers, 5.4 hours"),
    "dev-other": ("c8d0bcc9cca99d4f8b62fcc847357931", 0.31, "33 speakers, 5.3 hours"),
    "test-clean": ("32fa31d27d2e1cad72775fee3f4849a9", 0.35, "40 speakers, 5.4 hours"),
    "test-other": ("fb5a50374b501bb3bac4815ee91d3135", 0.33, "33 speakers, 5.1 hours"),
    "train-clean-100": ("2a93770f6d5c6c964bc36631d331a522", 6.4, "251 speakers"),
    "train-clean-360": ("c0e676e450a7ff2f54aeade5171606fa", 23.0, "921 speakers"),
    "train-other-500": ("d1a0fd59409feb2c614ce4d30c387708", 30.0, "1166 speakers"),
}
ARCHIVES = {
    # doi.org/10.7488/ds/2645. The old address answers with a page that redirects browsers only, so
    # its target stands first. The checksum is in the repository's record.
    "vctk": Archive(
        urls=(
            f"{EDINBURGH}/server/api/core/bitstreams/535f4286-e54c-4038-838c-a02285e32cb2/content",
            f"{EDINBURGH}/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",
        ),
        md5="8a6ba2946b36fcbef0212cad601f4bfa",
        gigabytes=11.7,
        unpacks_to="VCTK-Corpus-0.92/wav48_silence_trimmed",
        licence="CC BY 4.0",
        title="VCTK 0.92: 110 English speakers, 44 hours",
        inside="VCTK-Corpus-0.92",
    ),
    "vctk-0.80": Archive(
        urls=(f"{EDINBURGH}/bitstream/handle/10283/2651/VCTK-Corpus.zip",),
        md5="",  # none was found
        gigabytes=11,
        unpacks_to="VCTK-Corpus/wav48",
        licence="ODC-By 1.0",
        title="VCTK 0.80: 109 English speakers, 44 hours",
    ),
    **{
        f"librispeech-{subset}": Archive(
            urls=_openslr(f"12/{subset}.tar.gz", "www.openslr", "us.openslr", "openslr.elda"),
            md5=md5,
            gigabytes=gigabytes,
            unpacks_to=f"LibriSpeech/{subset}",
            licence="CC BY 4.0",
            title=f"LibriSpeech: {contents}",
        )
        for subset, (md5, gigabytes, contents) in _LIBRISPEECH.items()
    },
    # The checksum is the one in PaddleSpeech, examples/dataset/aishell/aishell.py
    "aishell": Archive(
        urls=_openslr("33/data_aishell.tgz", "www.openslr", "openslr.elda"),
        md5="2f494334227864a8a8fec932999db9d8",
        gigabytes=15,
        unpacks_to="data_aishell/wav",
        licence="Apache 2.0",
        title="Aishell-1: 400 Mandarin speakers, 178 hours",
    ),
}
