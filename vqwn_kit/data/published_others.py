"""The layouts of corpora of words, digits, moods and challenges; and of those that are refused.

See `published.py`.
"""

from vqwn_kit.data.declared import ANY, OWN_TABLE, Layout, Lines, facts_of

OTHERS = {
    "emov-db": Layout(
        "EmoV-DB",
        "SPEAKER_Mood/mood_NUMBER.wav",
        ANY + r"{speaker:bea|jenie|josh|sam}[_/]{mood:[a-z]+}/[^/]+",
        key="{speaker}_{stem}",
        known=facts_of("sex", F="bea jenie", M="josh sam"),
    ),
    "esd": Layout(
        "ESD",
        "SPEAKER/Mood/train/SPEAKER_NUMBER.wav",
        ANY + r"{speaker:00\d\d}/(?:[a-z]+/)?(?:{part:train|evaluation|test}/)?(?P=speaker)_\d{6}",
        texts=(Lines(ANY + r"00\d\d/00\d\d\.txt", r"{key:\d+_\d+}\s+{text:.*?}\s+\S+\s*$"),),
    ),
    "vcc2018": Layout(
        "VCC 2016 or 2018",
        "vcc2018_training/VCC2SF1/10001.wav",
        ANY + r"(?:\w+_)?{part:\w*train\w*|\w*eval\w*|\w*test\w*|reference}/"
        r"(?P<speaker>(?:VCC2)?[ST](?P<sex>[FM])\d)/\d{5,6}",
        key="{speaker}_{stem}",
        texts=(Lines(ANY + r"[^/]*(?:script|prompt)[^/]*\.txt", r"{key:\d{5,6}}[\s:]+{text:.*}"),),
    ),
    "vcc2020": Layout(
        "VCC 2020",
        "source/SEF1/E10001.wav",
        ANY + r"(?P<speaker>[ST][EFGM](?P<sex>[FM])\d)/[EFGM]\d{5}",
        key="{speaker}_{stem}",
        texts=(Lines(ANY + r"prompts/[^/]*\.txt", r"{key:[EFGM]\d{5}}[\s:]+{text:.*}"),),
    ),
    "zerospeech2019": Layout(
        "ZeroSpeech 2019",
        "train/unit/SPEAKER_NUMBER.wav",
        ANY
        + r"(?:train/(?:unit|voice)|train/parallel/(?:source|voice)|test)/{speaker:[SV]\d+}_\w+",
    ),
    "an4": Layout(
        "AN4",
        "wav/an4_clstk/SPEAKER/NAME.sph",
        r"wav/an4\w*/(?P<speaker>(?P<sex>[fm])\w+)/[^/]+",
        texts=(Lines(r"etc/.*\.transcription", r"<s>\s*{text:.*?}\s*</s>\s*\({key:\S+}\)"),),
    ),
    "tidigits": Layout(
        "TIDIGITS",
        "train/man/SPEAKER/1a.wav",
        ANY + r"{sex:man|woman|boy|girl}/{speaker:[a-z]{2}}/[\doz]+[ab]",
        key="{speaker}_{stem}",
    ),
    "speech-commands": Layout(
        "Speech Commands",
        "WORD/SPEAKER_nohash_0.wav",
        r"{word:[a-z]+}/{speaker:[0-9a-f]{8}}_nohash_\d+",
        key="{word}/{stem}",
        text="{word}",
    ),
    "fsdd": Layout(
        "FSDD",
        "recordings/DIGIT_SPEAKER_NUMBER.wav",
        r"(?:recordings/)?{digit:\d}_{speaker:[a-z]+}_\d+",
        text="{digit}",
    ),
    "audio-mnist": Layout(
        "AudioMNIST",
        "data/SPEAKER/DIGIT_SPEAKER_NUMBER.wav",
        r"(?:data/)?{speaker:\d\d}/{digit:\d}_(?P=speaker)_\d+",
        text="{digit}",
    ),
    "ravdess": Layout(
        "RAVDESS",
        "Actor_01/03-01-01-01-01-01-01.wav",
        ANY + r"{speaker:Actor_\d\d}/(?:\d\d-){6}\d\d",
        known=facts_of(
            "sex",
            M=" ".join(f"Actor_{n:02}" for n in range(1, 25, 2)),
            F=" ".join(f"Actor_{n:02}" for n in range(2, 25, 2)),
        ),
    ),
    "crema-d": Layout(
        "CREMA-D",
        "AudioWAV/SPEAKER_IEO_ANG_HI.wav",
        r"(?:AudioWAV/)?{speaker:1\d{3}}_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}",
        facts=(Lines(r"VideoDemographics\.csv", r"{speaker:\d+},{age:\d+},{sex:\w+},"),),
    ),
    "emo-db": Layout(
        "EmoDB",
        "wav/03a01Fa.wav",
        r"(?:wav/)?{speaker:\d\d}[ab]\d\d[A-Z][a-z]",
        known=facts_of("sex", M="03 10 11 12 15", F="08 09 13 14 16"),
    ),
    "tess": Layout(
        "TESS",
        "OAF_angry/OAF_back_angry.wav",
        ANY + r"{speaker:[OY]AF}_{word:\w+}_[a-z]+",
        text="{word}",
        known=facts_of("sex", F="OAF YAF"),
    ),
    "savee": Layout(
        "SAVEE",
        "DC/a01.wav",
        ANY + r"{speaker:DC|JE|JK|KL}[/_](?:a|d|f|h|n|sa|su)\d\d",
        key="{speaker}_{stem}",
        known=facts_of("sex", M="DC JE JK KL"),
    ),
    "daps": Layout(
        "DAPS",
        "clean/f1_script1_clean.wav; the others are not used",
        ANY + r"clean/(?P<speaker>(?P<sex>[fm])\d+)_script\d_clean",
        marks=(ANY + r"clean/[fm]\d+_script\d_clean",),
    ),
    "expresso": Layout(
        "Expresso",
        "read/SPEAKER/STYLE/NAME.wav; conversations of two are not used",
        ANY + r"read/{speaker:ex\d\d}/.*",
        marks=(ANY + r"read/ex\d\d/",),
        texts=(Lines(ANY + r"read_transcriptions\.txt", r"{key:\S+}\t{text:.*}"),),
        known=facts_of("sex", M="ex01 ex03", F="ex02 ex04"),
    ),
    "fleurs": Layout(
        "FLEURS",
        "audio/train/NUMBER.wav",
        marks=(ANY + r"(?:train|dev|test)\.tsv$", ANY + r"audio/(?:train|dev|test)[./]"),
        refusal=f"its tables name no speakers. Where you know them, {OWN_TABLE}",
    ),
    "mixtures": Layout(
        "a corpus of mixtures (LibriMix, WSJ0-mix)",
        "mix_clean/NAME.wav",
        marks=(ANY + r"mix(?:_clean|_both|_single)?/[^/]+\.(?:wav|flac)$", ANY + r"s[12]/"),
        refusal="several people at once are in each file: give the corpus that it was mixed from",
    ),
    "meetings": Layout(
        "AMI, or other meetings",
        "MEETING/audio/MEETING.Headset-0.wav",
        marks=(ANY + r"audio/\w+\.(?:Mix-|Headset|Array)",),
        refusal=f"several people are in each file. Cut it by speaker, and {OWN_TABLE}",
    ),
}
