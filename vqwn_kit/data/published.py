r"""The layouts of published corpora, as they unpack: what identifies each, and what its paths say.

See `Layout` for the fields. In an expression `{speaker}` is a group of anything but `/`, and
`{speaker:\d+}` one of digits; upper and lower case are the same, and the ending is not compared.
"""

from vqwn_kit.data.declared import ANY, Layout, Lines, facts_of, names_of
from vqwn_kit.data.lists import has_lists, read_lists
from vqwn_kit.data.published_others import OTHERS
from vqwn_kit.data.scan import Choices
from vqwn_kit.data.tables import (
    has_manifests,
    read_common_voice,
    read_kaldi,
    read_manifests,
    read_stm,
)
from vqwn_kit.errors import one_of

MICROPHONES = ("mic1", "mic2")


def _microphone(files: dict[str, list], choices: Choices) -> tuple[dict[str, str], str]:
    """Choose the recordings of one microphone of VCTK 0.92, the other where there is no such."""
    if choices.microphone not in MICROPHONES:
        raise one_of("microphone", choices.microphone, MICROPHONES)
    (other,) = set(MICROPHONES) - {choices.microphone}
    chosen, lacking, remark = {}, set(), f"microphone {choices.microphone}"
    for key, takes in files.items():
        own = [name for name, groups in takes if groups["microphone"] == choices.microphone]
        chosen[key] = (own or names_of(takes))[0]
        lacking |= set() if own else {takes[0][1]["speaker"]}
    if lacking:
        remark += f", {other} where there is no other: {', '.join(sorted(lacking)[:6])}"
    return chosen, remark


def _arctic_voice(groups: dict[str, str]) -> str:
    """Return `slt` of `cmu_us_slt_arctic`, a folder in the corpus or the corpus itself."""
    name = groups.get("speaker") or groups["voice"]
    words = [word for word in name.split("_") if word not in ("cmu", "us", "arctic", "indic")]
    return words[0].partition("-")[0] if words else name


VCTK_FACTS = Lines(
    r"speaker-info\.txt",
    r"{speaker:\w+}\s+(?:{age:\d+}\s+)?{sex:[FM]}\b\s*{accent:[^\s(]*}[ \t]*{region:[^(]*}",
    prefix="p",
)
LIBRI_FACTS = Lines(
    r"SPEAKERS\.TXT|speakers\.tsv",
    r"{speaker:\d+}\s*[|\t]\s*{sex:[MF]}\s*[|\t][^|\t]*(?:\|[^|\t]*)?[|\t]\s*{name:.*}",
    beyond=("../SPEAKERS.txt", "../SPEAKERS.TXT", "../speakers.tsv"),
)
LIBRI_SUBSET = r"(?:{subset:[\w-]+}/)?"
ARCTIC_TEXTS = Lines(
    ANY + r"(?:etc/txt\.done\.data|cmuarctic\.data)", r'\(\s*{key:\S+}\s+"{text:.*}"'
)
ARCTIC_FACTS = facts_of(
    "sex", M="awb bdl jmk ksp rms aew ahw aup fem gka rxr", F="clb slt axb eey ljm lnh slp"
)
L2_FACTS = facts_of(
    "sex",
    M="ABA YBAA BWC TXHC ASI RRBI HKK YKWK EBVS ERMS HQTV TLV",
    F="SKA ZHAA LXC NCC SVBI TNI HJK YDCK MBMPS NJS PNV THV",
)
HIFI_FACTS = facts_of("sex", F="92 8051 9136 11614 11697 12787", M="6097 6670 6671 9017")

PUBLISHED = {
    "vctk-0.92": Layout(
        "VCTK 0.92",
        "wav48_silence_trimmed/SPEAKER/SPEAKER_NUMBER_mic1.flac",
        r"wav48_silence_trimmed/{speaker}/{utterance}_{microphone:mic[12]}",
        marks=("wav48_silence_trimmed/",),
        key="{utterance}",
        beside="txt/{speaker}/{utterance}.txt",
        facts=(VCTK_FACTS,),
        choose=_microphone,
        inside=("wav48_silence_trimmed", r".*_mic[12]\.\w+$"),
    ),
    "vctk": Layout(
        "VCTK 0.80",
        "wav48/SPEAKER/SPEAKER_NUMBER.wav",
        r"wav(?:48|24|22|16)/{speaker}/[^/]+",
        marks=("wav(?:48|24|22|16)/",),
        beside="txt/{speaker}/{stem}.txt",
        facts=(VCTK_FACTS,),
    ),
    "voicebank-demand": Layout(
        "VoiceBank-DEMAND",
        "clean_trainset_28spk_wav/SPEAKER_NUMBER.wav; the noisy ones are not used",
        r"clean_{part:train|test}set_{count:(?:\d+spk_)?}wav/{speaker:p\d+}_\d+",
        marks=(r"clean_(?:train|test)set_(?:\d+spk_)?wav/",),
        beside="{part}set_{count}txt/{stem}.txt",
    ),
    "libritts": Layout(
        "LibriTTS",
        "SUBSET/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_SENTENCE.wav",
        LIBRI_SUBSET + r"{speaker:\d+}/{chapter:\d+}/(?P=speaker)_(?P=chapter)_\d+_\d+",
        beside="{base}.normalized.txt",
        facts=(LIBRI_FACTS,),
    ),
    "librispeech": Layout(
        "LibriSpeech",
        "SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac",
        LIBRI_SUBSET + r"{speaker:\d+}/{chapter:\d+}/(?P=speaker)-(?P=chapter)-\d+",
        texts=(Lines(r".*\.trans\.txt", r"{key:\S+} {text:.*}"),),
        facts=(LIBRI_FACTS,),
    ),
    "mls": Layout(
        "Multilingual LibriSpeech",
        "train/audio/SPEAKER/BOOK/SPEAKER_BOOK_NUMBER.flac",
        r"(?:train|dev|test)/audio/{speaker:\d+}/{book:\d+}/(?P=speaker)_(?P=book)_\d+",
        texts=(Lines(r"(?:train|dev|test)/transcripts\.txt", r"{key:\S+}\t{text:.*}"),),
        facts=(Lines(r"metainfo\.txt", r"\s*{speaker:\d+}\s*\|\s*{sex:[MF]}\s*\|"),),
    ),
    "libri-light": Layout(
        "Libri-Light",
        "SIZE/SPEAKER/BOOK/CHAPTER.flac",
        r"(?:\w+/)?{speaker:\d+}/{book:\w+_librivox_\w+}/[^/]+",
        key="{book}/{stem}",
    ),
    "hifi-tts": Layout(
        "manifests in JSON lines, as Hi-Fi TTS",
        "SPEAKER_manifest_clean_train.json",
        when=has_manifests,
        read=read_manifests,
        known=HIFI_FACTS,
    ),
    "aishell": Layout(
        "Aishell-1",
        "wav/train/SPEAKER/NUMBER.wav",
        r"wav/(?:(?:train|dev|test)/)?{speaker:S\d{4}}/[^/]+",
        marks=(r"wav/(?:(?:train|dev|test)/)?S\d{4}|transcript/aishell",),
        texts=(Lines(r"transcript/.*\.txt", r"{key:\S+} {text:.*}"),),
        facts=(
            Lines(
                r"(?:resource_aishell/)?speaker\.info",
                r"{speaker:S?\d+}\s+{sex:[FM]}",
                beyond=("../resource_aishell/speaker.info",),
                prefix="S",
            ),
        ),
        inside=("wav", r"(?:train|dev|test)/S\d{4}/"),
    ),
    "aishell-3": Layout(
        "Aishell-3",
        "train/wav/SPEAKER/NUMBER.wav",
        r"{part:train|test}/wav/{speaker:SSB\d{4}}/[^/]+",
        texts=(
            Lines(
                r"(?:train|test)/content\.txt",
                r"{key:\w+}(?:\.wav)?\s+{text:.*}",
                drop=r"\s*[a-z]+\d?\b\s*",
            ),
        ),
        facts=(
            Lines(r"spk-info\.txt", r"{speaker:SSB\d+}\s+{age:\S+}\s+{sex:\w+}\s+{accent:\w+}"),
        ),
    ),
    "common-voice": Layout(
        "Common Voice",
        "clips/NAME.mp3, with validated.tsv",
        marks=("clips/", r"(?:validated|train)\.tsv$"),
        read=read_common_voice,
    ),
    "timit": Layout(
        "TIMIT",
        "TRAIN/DR1/SPEAKER/SENTENCE.WAV",
        ANY + r"{region:dr\d}/(?P<speaker>(?P<sex>[fm])\w{3}\d)/{sentence:s[aix]\d+}(?:\.wav)?",
        key="{speaker}_{sentence}",
        beside="{dir}{sentence}.txt",
        text_line=r"\d+\s+\d+\s+{text:[^\n]*}",
    ),
    "l2-arctic": Layout(
        "L2-ARCTIC",
        "SPEAKER/wav/arctic_a0001.wav",
        ANY + r"{speaker:[A-Z]{3,5}}/wav/arctic_[ab]\d+",
        marks=(ANY + r"[A-Z]{3,5}/(?:transcript|annotation|textgrid)/arctic_",),
        key="{speaker}_{stem}",
        beside="{up}transcript/{stem}.txt",
        known=L2_FACTS,
    ),
    "cmu-arctic": Layout(
        "CMU Arctic",
        "cmu_us_SPEAKER_arctic/wav/arctic_a0001.wav",
        r"(?:" + ANY + r"{speaker}/)?(?:wav|orig)/(?:arctic|indic)_\w+",
        texts=(ARCTIC_TEXTS,),
        key="{speaker}_{stem}",
        known=ARCTIC_FACTS,
        rename=_arctic_voice,
    ),
    "m-ailabs": Layout(
        "M-AILABS",
        "by_book/female/SPEAKER/BOOK/wavs/NAME.wav; of by_book/mix no speakers are known",
        ANY + r"by_book/{sex:female|male}/{speaker}/{book}/wavs/[^/]+",
        marks=(ANY + r"by_book/(?:female|male|mix)/",),
        texts=(Lines(ANY + r"metadata\.csv", r"{key:[^|]+}\|[^|]*\|{text:.*}"),),
    ),
    "voxceleb": Layout(
        "VoxCeleb",
        "dev/wav/SPEAKER/VIDEO/NUMBER.wav",
        r"(?:(?:dev|test)/)?(?:(?:wav|aac)/)?{speaker:id\d{5}}/{video}/\d{5}",
        key="{speaker}/{video}/{stem}",
        facts=(
            Lines(
                ANY + r"vox[12]_meta\.csv",
                r"{speaker:id\d+}\s*[,\t]\s*\S+\s*[,\t]\s*{sex:[mf]}\b"
                r"(?:[ ,\t]*{region:[^\t,]*}\t)?",
                beyond=("../vox1_meta.csv", "../vox2_meta.csv"),
            ),
        ),
    ),
    "jvs": Layout(
        "JVS",
        "SPEAKER/parallel100/wav24kHz16bit/NAME.wav",
        ANY + r"{speaker:jvs\d{3}}/{set:\w+}/wav\w+/[^/]+",
        key="{speaker}_{set}_{stem}",
        texts=(Lines(ANY + r"transcripts_utf8\.txt", r"{key:[^:]+}:{text:.*}"),),
        facts=(Lines(r"gender_f0range\.txt", r"{speaker:jvs\d+}\s+{sex:[MF]}"),),
    ),
    "jsut": Layout(
        "JSUT",
        "basic5000/wav/BASIC5000_0001.wav",
        r"(?:basic5000|utparaphrase512|onomatopee300|countersuffix26|loanword128|voiceactress100|"
        r"travel1000|precedent130|repeat500)/wav/[^/]+",
        speaker="jsut",
        texts=(Lines(r"[a-z]+\d+/transcript_utf8\.txt", r"{key:[^:]+}:{text:.*}"),),
        known=facts_of("sex", F="jsut"),
    ),
    "css10": Layout(
        "CSS10",
        "BOOK/BOOK_NUMBER.wav, with transcript.txt",
        r"{book}/(?P=book)_\d+",
        marks=(r"transcript\.txt$",),
        speaker="css10-{folder}",
        texts=(Lines(r"transcript\.txt", r"{key:[^|.]+}\.wav\|[^|]*\|{text:[^|]*}\|"),),
    ),
    "kss": Layout(
        "KSS",
        "1/1_0000.wav, with transcript.v.1.4.txt",
        r"(?:kss/)?\d/\d_\d{4}",
        marks=(r"transcript\.v\.[\d.]+\.txt$",),
        speaker="kss",
        texts=(Lines(r"transcript\.v\..*", r"{key:[^|.]+}\.wav\|{text:[^|]*}\|"),),
        known=facts_of("sex", F="kss"),
    ),
    "baker": Layout(
        "BZNSYP (Biaobei)",
        "Wave/000001.wav",
        r"Wave/\d{6}",
        marks=(r"ProsodyLabeling/\d+-\d+\.txt$",),
        speaker="bznsyp",
        texts=(Lines(r"ProsodyLabeling/.*\.txt", r"{key:\d{6}}\s+{text:.*}", drop=r"#\d"),),
        known=facts_of("sex", F="bznsyp"),
    ),
    "ted-lium": Layout(
        "talks with STM files, as TED-LIUM",
        "sph/TALK.sph, with stm/TALK.stm",
        marks=(ANY + r"[^/]+\.stm$",),
        read=read_stm,
    ),
    "kaldi": Layout(
        "folders of Kaldi",
        "wav.scp and utt2spk",
        marks=(ANY + r"wav\.scp$",),
        read=read_kaldi,
    ),
    "vivos": Layout(
        "VIVOS",
        "train/waves/SPEAKER/SPEAKER_NUMBER.wav",
        r"(?:train|test)/waves/{speaker:VIVOS\w+}/[^/]+",
        texts=(Lines(r"(?:train|test)/prompts\.txt", r"{key:\S+} {text:.*}"),),
        facts=(Lines(r"(?:train|test)/genders\.txt", r"{speaker:\S+}\s+{sex:[mf]}"),),
    ),
    "thchs-30": Layout(
        "THCHS-30",
        "data/A11_0.wav",
        r"(?:data|train|dev|test)/{speaker:[A-D]\d{1,2}}_\d+",
        beside="data/{stem}.wav.trn",
        text_line=r"{text:[^\n]*}",
    ),
    "magicdata": Layout(
        "MAGICDATA",
        "train/SPEAKER/NAME.wav, with TRANS.txt",
        r"(?:(?:train|dev|test)/)?{speaker:\d+_\d+}/[^/]+",
        marks=(ANY + r"TRANS\.txt$",),
        texts=(Lines(ANY + r"TRANS\.txt", r"{key:\w+}\.wav\t\S+\t{text:.*}"),),
        facts=(Lines(r"SPKINFO\.txt", r"{speaker:\S+}\t{age:\d+}\t{sex:\w+}\t{accent:.*}"),),
    ),
    "st-cmds": Layout(
        "ST-CMDS", "20170001P00001A0001.wav", ANY + r"{speaker:20170001P\d{5}}[AI]\d{4}"
    ),
    "openslr-lines": Layout(
        "crowdsourced speech of OpenSLR 32 to 86",
        "SPEAKER_NUMBER.wav, with line_index.tsv",
        ANY + r"(?P<speaker>[a-z]{2}(?:(?P<sex>[fm])|[a-z])_\d{4,5})_\d+",
        marks=(ANY + r"line_index\w*\.(?:tsv|csv)$",),
        texts=(
            Lines(
                ANY + r"line_index\w*\.(?:tsv|csv)",
                r"(?:\w+,\s*)?{key:[a-z]{3}_\d+_\d+}\s*[\t,]\s*{text:.*}",
            ),
        ),
    ),
    "voxforge": Layout(
        "VoxForge",
        "SPEAKER-DATE-CODE/wav/NAME.wav",
        ANY + r"{session:[^/]+-\d{8}-\w+}/(?:wav|flac)/[^/]+",
        key="{session}/{stem}",
        texts=(Lines(ANY + r"etc/PROMPTS", r"(?:\S*/)?{key:[^/\s]+}\s+{text:.*}"),),
        rename=lambda groups: (
            groups["session"]
            if groups["session"].lower().startswith("anonymous")
            else groups["session"].rsplit("-", 2)[0]
        ),
    ),
    "ljspeech-books": Layout(
        "LJSpeech, by speaker and book",
        "SPEAKER/BOOK/wavs/NAME.wav, with metadata.csv",
        r"{speaker}/{book}/wavs?/[^/]+",
        marks=(r"[^/]+/[^/]+/metadata\.csv$",),
        key="{speaker}/{book}/{stem}",
        texts=(Lines(r".*/metadata\.csv", r"{key:[^|]+?}(?:\.wav)?\|(?:[^|]*\|)?{text:[^|]*}"),),
    ),
    "ljspeech-speakers": Layout(
        "LJSpeech, a folder per speaker",
        "SPEAKER/wavs/NAME.wav, with metadata.csv",
        r"{speaker}/wavs?/[^/]+",
        marks=(r"[^/]+/metadata\.csv$",),
        key="{speaker}/{stem}",
        texts=(Lines(r".*/metadata\.csv", r"{key:[^|]+?}(?:\.wav)?\|(?:[^|]*\|)?{text:[^|]*}"),),
    ),
    "lists": Layout(
        "LJSpeech and others with lists",
        "metadata.csv, train.txt ... of path|text or path|text|speaker",
        when=has_lists,
        read=read_lists,
    ),
    **OTHERS,
}
