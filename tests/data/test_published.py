"""Every layout: a small tree of each, and what its speakers, texts and facts are taken for.

The sound files are empty, since opening a corpus decodes nothing.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from vqwn_kit import InputError, open_corpus
from vqwn_kit.data.layouts import LAYOUTS
from vqwn_kit.data.part_names import is_part, sex_of, split_of


@dataclass
class Case:
    """A folder in a layout: its files, and what an utterance and its speaker are.

    `sounds` are names with blanks between; `key`, `speaker` and `text` are of one utterance.
    """

    layout: str
    sounds: str
    key: str
    speaker: str
    text: str = ""
    facts: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    speakers: str = ""  # all of them, if more than one
    left_out: str = ""
    folder: str = "corpus-x"
    held_out: str = ""  # keys that the corpus itself holds out


def make(folder: Path, case: Case) -> Path:
    top = folder / case.folder
    for name in case.sounds.split():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()
    for name, text in case.tables.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text, encoding="utf-8")
    return top


LJ = "LJ001-0001|In 1820, print|In eighteen twenty, print\nLJ001-0002|Two|Two\n"
ARCTIC = '( arctic_a0001 "Author of the trail." )\n( arctic_a0002 "Not at this case." )\n'
CV = (
    "client_id\tpath\tsentence\tup_votes\tage\tgender\taccents\n"
    "aaaaaaaabbbb\tc_1.mp3\tHello.\t2\ttwenties\tfemale_feminine\tScottish\n"
    "aaaaaaaacccc\tc_2.mp3\tGood day.\t2\t\tmale\t\n"
)
SAME_SPEAKERS = {"ann": {}, "bob": {}}

CASES = {
    "LJSpeech": Case(
        "lists",
        "wavs/LJ001-0001.wav wavs/LJ001-0002.wav wavs/LJ009-0001.wav",
        "LJ001-0001",
        "LJ",
        "In eighteen twenty, print",
        tables={"metadata.csv": LJ},
        left_out="wavs/LJ009-0001.wav",
    ),
    "Thorsten": Case(
        "lists",
        "wavs/a1.wav wavs/b2.wav",
        "a1",
        "thorsten-de",
        "Guten Tag, Welt",
        tables={"metadata.csv": "a1|Guten Tag, Welt\nb2|Auf Wiedersehen, Welt\n"},
        folder="thorsten-de",
    ),
    "a list of path, text, speaker": Case(
        "lists",
        "wavs/1.wav wavs/2.wav wavs/3.wav wavs/4.wav",
        "2",
        "bob",
        "Two is more",
        tables={
            "train.txt": "wavs/1.wav|One here|ann\nwavs/2.wav|Two is more|bob\nwavs/3.wav|Go|ann\n",
            "val.txt": "wavs/4.wav|Four and more|bob\n",
        },
        speakers="ann bob",
        held_out="4",
    ),
    "a list of path, speaker, language, text": Case(
        "lists",
        "audio/1.wav audio/2.wav audio/3.wav",
        "2",
        "bob",
        "Two is more",
        tables={
            "train.list": "audio/1.wav|ann|EN|One here\naudio/2.wav|bob|EN|Two is more\n"
            "audio/3.wav|bob|EN|Three\n"
        },
        speakers="ann bob",
    ),
    "a list with a header": Case(
        "lists",
        "wavs/1.wav wavs/2.wav",
        "2",
        "bob",
        "Two",
        tables={
            "metadata_train.csv": "audio_file|text|speaker_name\nwavs/1.wav|One|ann\n"
            "wavs/2.wav|Two|bob\n"
        },
        speakers="ann bob",
    ),
    "lists of a split beside one of all": Case(
        "lists",
        "wavs/1.wav wavs/2.wav wavs/3.wav",
        "3",
        "corpus-x",
        "Three is less",
        tables={
            "metadata.csv": "1|One here\n2|Two is more\n3|Three is less\n",
            "train_list.txt": "wavs/1.wav|One here\nwavs/2.wav|Two is more\n",
            "test_list.txt": "wavs/3.wav|Three is less\n",
        },
        held_out="3",
    ),
    "a list with commas, quotes and a header": Case(
        "lists",
        "data/1.wav data/2.wav",
        "1",
        "ann",
        "One, two",
        tables={
            "metadata.csv": 'speaker_id,file_name,transcription\nann,data/1.wav,"One, two"\n'
            "bob,data/2.wav,Three\n"
        },
        speakers="ann bob",
    ),
    "JSON lines": Case(
        "hifi-tts",
        "data/1.wav data/2.wav",
        "data/2-0000150",
        "bob",
        "Three",
        tables={
            "metadata.jsonl": '{"file_name": "data/1.wav", "text": "One", "speaker_id": "ann"}\n'
            '{"file_name": "data/2.wav", "text": "Three", "speaker_id": "bob", "offset": 1.5, '
            '"duration": 2}\n'
        },
        speakers="ann bob",
    ),
    "LibriTTS": Case(
        "libritts",
        "dev-clean/84/121123/84_121123_000007_000001.wav train-x/26/495/26_495_000004_000000.wav",
        "84_121123_000007_000001",
        "84",
        "Good.",
        {"sex": "F", "name": "Christie Nowak"},
        {
            "dev-clean/84/121123/84_121123_000007_000001.normalized.txt": "Good.",
            "dev-clean/84/121123/84_121123_000007_000001.original.txt": "Good!",
            "speakers.tsv": "READER\tGENDER\tSUBSET\tNAME\n84\tF\tdev-clean\tChristie Nowak\n",
        },
        "26 84",
    ),
    "LibriSpeech without transcripts": Case(
        "librispeech",
        "dev-clean/84/121123/84-121123-0000.flac test-clean/61/70968/61-70968-0.flac",
        "84-121123-0000",
        "84",
        speakers="61 84",
    ),
    "Common Voice": Case(
        "common-voice",
        "clips/c_1.mp3 clips/c_2.mp3 clips/c_3.mp3",
        "c_1",
        "aaaaaaaab",
        "Hello.",
        {"age": "twenties", "sex": "F", "accent": "Scottish"},
        {"validated.tsv": CV},
        "aaaaaaaab aaaaaaaac",
        "clips/c_3.mp3",
    ),
    "TIMIT": Case(
        "timit",
        "TRAIN/DR1/FCJF0/SA1.WAV TEST/DR2/MABW0/SA1.WAV TEST/DR2/MABW0/SX9.WAV",
        "FCJF0_SA1",
        "FCJF0",
        "She had your dark suit.",
        {"sex": "F", "region": "DR1"},
        {"TRAIN/DR1/FCJF0/SA1.TXT": "0 46797 She had your dark suit.\n"},
        "FCJF0 MABW0",
    ),
    "TIMIT, converted beside": Case(
        "timit",
        "data/TRAIN/DR4/MMDM0/SI681.WAV data/TRAIN/DR4/MMDM0/SI681.WAV.wav "
        "data/TEST/DR4/FABC0/SI9.WAV.wav",
        "MMDM0_SI681",
        "MMDM0",
        facts={"sex": "M", "region": "DR4"},
        speakers="FABC0 MMDM0",
        left_out="data/TRAIN/DR4/MMDM0/SI681.WAV.wav",
    ),
    "CMU Arctic, one voice": Case(
        "cmu-arctic",
        "wav/arctic_a0001.wav wav/arctic_a0002.wav orig/arctic_a0001.wav orig/arctic_a0002.wav",
        "slt_arctic_a0001",
        "slt",
        "Author of the trail.",
        {"sex": "F"},
        {"etc/txt.done.data": ARCTIC},
        left_out="orig/arctic_a0001.wav orig/arctic_a0002.wav",
        folder="cmu_us_slt_arctic",
    ),
    "CMU Arctic, several": Case(
        "cmu-arctic",
        "cmu_us_bdl_arctic/wav/arctic_a0001.wav cmu_us_slt_arctic/wav/arctic_a0001.wav",
        "bdl_arctic_a0001",
        "bdl",
        "Author of the trail.",
        {"sex": "M"},
        {"cmu_us_bdl_arctic/etc/txt.done.data": ARCTIC},
        "bdl slt",
    ),
    "L2-ARCTIC": Case(
        "l2-arctic",
        "ABA/wav/arctic_a0001.wav HKK/wav/arctic_a0001.wav",
        "HKK_arctic_a0001",
        "HKK",
        "Author.",
        {"sex": "M"},
        {"HKK/transcript/arctic_a0001.txt": "Author.", "ABA/transcript/arctic_a0001.txt": "A"},
        "ABA HKK",
    ),
    "VCC 2018": Case(
        "vcc2018",
        "vcc2018_training/VCC2SF1/10001.wav vcc2018_training/VCC2TM1/10001.wav "
        "vcc2018_evaluation/VCC2SF1/30001.wav",
        "VCC2TM1_10001",
        "VCC2TM1",
        facts={"sex": "M"},
        speakers="VCC2SF1 VCC2TM1",
        held_out="VCC2SF1_30001",
    ),
    "VCC 2020": Case(
        "vcc2020",
        "source/SEF1/E10001.wav target_task1/TEM1/E10001.wav target_task2/TGF1/G10001.wav",
        "TEM1_E10001",
        "TEM1",
        "Hello there.",
        {"sex": "M"},
        {"prompts/Eng_transcripts.txt": "E10001 Hello there.\n"},
        "SEF1 TEM1 TGF1",
    ),
    "M-AILABS": Case(
        "m-ailabs",
        "en_US/by_book/female/judy/oz/wavs/oz_01.wav "
        "en_US/by_book/male/elliot/mad/wavs/mad_01.wav en_US/by_book/mix/epics/wavs/e_01.wav",
        "oz_01",
        "judy",
        "Chapter one",
        {"sex": "F"},
        {"en_US/by_book/female/judy/oz/metadata.csv": "oz_01|Chapter 1|Chapter one\n"},
        "elliot judy",
        "en_US/by_book/mix/epics/wavs/e_01.wav",
    ),
    "ZeroSpeech 2019": Case(
        "zerospeech2019",
        "english/train/unit/S015_03.wav english/train/voice/V001_07.wav english/test/S002_08.wav",
        "S015_03",
        "S015",
        speakers="S002 S015 V001",
    ),
    "VoxCeleb": Case(
        "voxceleb",
        "dev/wav/id10001/1zcIwh/00001.wav dev/wav/id10001/9mQ11v/00001.wav "
        "test/wav/id10270/x6uYqm/00001.wav",
        "id10001/1zcIwh/00001",
        "id10001",
        facts={"sex": "M", "region": "Ireland"},
        tables={"vox1_meta.csv": "VoxCeleb1 ID\tV\tG\tN\tSet\nid10001\tA.J._B\tm\tIreland\tdev\n"},
        speakers="id10001 id10270",
    ),
    "JVS": Case(
        "jvs",
        "jvs001/parallel100/wav24kHz16bit/V_001.wav jvs002/parallel100/wav24kHz16bit/V_001.wav "
        "jvs002/whisper10/wav24kHz16bit/V_001.wav",
        "jvs002_parallel100_V_001",
        "jvs002",
        "mata, tojo",
        {"sex": "F"},
        {
            "jvs002/parallel100/transcripts_utf8.txt": "V_001:mata, tojo\n",
            "jvs002/whisper10/transcripts_utf8.txt": "V_001:other\n",
            "gender_f0range.txt": "speaker Male_or_Female minf0 maxf0\njvs002 F 160 450\n",
        },
        "jvs001 jvs002",
    ),
    "JSUT": Case(
        "jsut",
        "basic5000/wav/BASIC5000_0001.wav travel1000/wav/TRAVEL1000_0001.wav",
        "BASIC5000_0001",
        "jsut",
        "mizu",
        {"sex": "F"},
        {"basic5000/transcript_utf8.txt": "BASIC5000_0001:mizu\n"},
    ),
    "Hi-Fi TTS": Case(
        "hifi-tts",
        "audio/92_clean/10425/a_01.flac audio/6670_other/1/b_01.flac "
        "audio/92_clean/10425/a_02.flac",
        "92_clean/10425/a_01",
        "92",
        "good day",
        {"sex": "F"},
        {
            "92_manifest_clean_train.json": '{"audio_filepath": "audio/92_clean/10425/a_01.flac", '
            '"text": "Good day", "text_normalized": "good day"}\n',
            "92_manifest_clean_test.json": '{"audio_filepath": "audio/92_clean/10425/a_02.flac", '
            '"text": "two"}\n',
            "6670_manifest_other_train.json": '{"audio_filepath": "audio/6670_other/1/b_01.flac", '
            '"text": "one"}\n',
        },
        "6670 92",
        held_out="92_clean/10425/a_02",
    ),
    "CSS10": Case(
        "css10",
        "acht/acht_0001.wav zwei/zwei_0001.wav",
        "acht_0001",
        "css10-german",
        "Guten Tag",
        tables={"transcript.txt": "acht/acht_0001.wav|Guten  Tag|Guten Tag|2.1\n"},
        folder="german",
    ),
    "KSS": Case(
        "kss",
        "1/1_0000.wav 2/2_0000.wav",
        "1_0000",
        "kss",
        "gu neun",
        {"sex": "F"},
        {"transcript.v.1.4.txt": "1/1_0000.wav|gu neun|gu neun|gu|3.5|He seemed\n"},
    ),
    "Biaobei": Case(
        "baker",
        "Wave/000001.wav Wave/000002.wav",
        "000001",
        "bznsyp",
        "kaer wan",
        {"sex": "F"},
        {"ProsodyLabeling/000001-010000.txt": "000001\tkaer#2 wan#4\n\tka2 er2\n"},
    ),
    "Aishell-3": Case(
        "aishell-3",
        "train/wav/SSB0005/SSB00050001.wav test/wav/SSB0009/SSB00090001.wav",
        "SSB00050001",
        "SSB0005",
        "\u5e7f\u5dde",
        {"age": "C", "sex": "F", "accent": "north"},
        {
            "train/content.txt": "SSB00050001.wav\t\u5e7f guang3 \u5dde zhou1\n",
            "spk-info.txt": "# x\nSSB0005\tC\tfemale\tnorth\n",
        },
        "SSB0005 SSB0009",
    ),
    "ESD": Case(
        "esd",
        "0001/Angry/train/0001_000351.wav 0001/Angry/test/0001_000371.wav "
        "0002/Sad/train/0002_000001.wav",
        "0001_000351",
        "0001",
        "The nine the eggs.",
        tables={"0001/0001.txt": "0001_000351\tThe nine the eggs.\tAngry\n"},
        speakers="0001 0002",
        held_out="0001_000371",
    ),
    "ESD without parts": Case(
        "esd",
        "0011/Angry/0011_000351.wav 0012/Sad/0012_000001.wav",
        "0011_000351",
        "0011",
        speakers="0011 0012",
    ),
    "EmoV-DB": Case(
        "emov-db",
        "bea_Amused/amused_1-15_0001.wav sam_Sleepiness/sleepiness_1-20_0002.wav",
        "bea_amused_1-15_0001",
        "bea",
        facts={"sex": "F"},
        speakers="bea sam",
    ),
    "Multilingual LibriSpeech": Case(
        "mls",
        "train/audio/4800/10003/4800_10003_000000.flac dev/audio/55/1/55_1_000000.flac",
        "4800_10003_000000",
        "4800",
        "das ist",
        {"sex": "M"},
        {
            "train/transcripts.txt": "4800_10003_000000\tdas ist\n",
            "metainfo.txt": " SPEAKER | GENDER | PARTITION\n 4800 | M | train | 1.2\n",
        },
        "4800 55",
    ),
    "Libri-Light": Case(
        "libri-light",
        "small/100/sea_fairies_0812_librivox_64kb_mp3/01_baum.flac "
        "small/25/a_tale_librivox_64kb_mp3/01_x.flac",
        "sea_fairies_0812_librivox_64kb_mp3/01_baum",
        "100",
        speakers="100 25",
    ),
    "TED-LIUM": Case(
        "ted-lium",
        "train/sph/Ann_2009.sph train/sph/Bob_2010.sph",
        "Ann_2009-0001650-0002100",
        "Ann_2009",
        "and then",
        {"sex": "F"},
        {
            "train/stm/Ann_2009.stm": ";; talk\n"
            "Ann_2009 1 Ann_2009 16.5 21 <o,f0,female> and then\n"
            "Ann_2009 1 inter 21 22 <o,f0,> ignore_time_segment_in_scoring\n",
            "train/stm/Bob_2010.stm": "Bob_2010 1 Bob_2010 1 2.5 <o,f0,male> hi\n",
        },
        "Ann_2009 Bob_2010",
    ),
    "Kaldi": Case(
        "kaldi",
        "audio/a1.wav audio/b1.flac audio/b2.wav",
        "ann-1",
        "ann",
        "HELLO THERE",
        {"sex": "F"},
        {
            "data/train/wav.scp": "ann-1 audio/a1.wav\nbob-1 flac -c -d -s audio/b1.flac |\n"
            "bob-2 sox audio/b2.wav -t wav - speed 0.9 |\n",
            "data/train/utt2spk": "ann-1 ann\nbob-1 bob\nbob-2 bob\n",
            "data/train/text": "ann-1 HELLO THERE\n",
            "data/train/spk2gender": "ann f\nbob m\n",
        },
        "ann bob",
        "audio/b2.wav data/train/bob-2",
    ),
    "VoiceBank-DEMAND": Case(
        "voicebank-demand",
        "clean_trainset_28spk_wav/p226_001.wav clean_testset_wav/p232_001.wav "
        "noisy_trainset_28spk_wav/p226_001.wav",
        "p226_001",
        "p226",
        "Please call.",
        tables={"trainset_28spk_txt/p226_001.txt": "Please call."},
        speakers="p226 p232",
        left_out="noisy_trainset_28spk_wav/p226_001.wav",
    ),
    "VIVOS": Case(
        "vivos",
        "train/waves/VIVOSSPK01/VIVOSSPK01_R001.wav test/waves/VIVOSDEV01/VIVOSDEV01_R1.wav",
        "VIVOSSPK01_R001",
        "VIVOSSPK01",
        "XIN CHAO",
        {"sex": "M"},
        {"train/prompts.txt": "VIVOSSPK01_R001 XIN CHAO\n", "train/genders.txt": "VIVOSSPK01 m\n"},
        "VIVOSDEV01 VIVOSSPK01",
    ),
    "THCHS-30": Case(
        "thchs-30",
        "data/A11_0.wav data/B2_10.wav",
        "A11_0",
        "A11",
        "lv shi",
        tables={"data/A11_0.wav.trn": "lv shi\nl v4 sh iii4\n"},
        speakers="A11 B2",
    ),
    "MAGICDATA": Case(
        "magicdata",
        "train/14_3466/14_3466_20170826.wav dev/5_1/5_1_2017.wav",
        "14_3466_20170826",
        "14_3466",
        "ni hao",
        {"age": "30", "sex": "F", "accent": "bei jing"},
        {
            "train/TRANS.txt": "UtteranceID\tSpeakerID\tT\n14_3466_20170826.wav\t14_3466\tni hao\n",
            "SPKINFO.txt": "SPKID\tAGE\tGENDER\tDIALECT\n14_3466\t30\tfemale\tbei jing\n",
        },
        "14_3466 5_1",
    ),
    "ST-CMDS": Case(
        "st-cmds",
        "20170001P00001A0001.wav 20170001P00002I0001.wav",
        "20170001P00001A0001",
        "20170001P00001",
        "a text",
        tables={"20170001P00001A0001.txt": "a text"},
        speakers="20170001P00001 20170001P00002",
    ),
    "OpenSLR 61": Case(
        "openslr-lines",
        "arf_00295_00001.wav arm_02484_00002.wav",
        "arf_00295_00001",
        "arf_00295",
        "hola",
        {"sex": "F"},
        {"line_index.tsv": "arf_00295_00001\thola\n"},
        "arf_00295 arm_02484",
    ),
    "VoxForge": Case(
        "voxforge",
        "Ann-20080101-abc/wav/a0001.wav Ann-20090101-xyz/wav/a0001.wav "
        "anonymous-20080102-def/wav/b1.wav",
        "Ann-20090101-xyz/a0001",
        "Ann",
        "SECOND",
        tables={
            "Ann-20080101-abc/etc/PROMPTS": "Ann-20080101-abc/mfc/a0001 FIRST\n",
            "Ann-20090101-xyz/etc/PROMPTS": "Ann-20090101-xyz/mfc/a0001 SECOND\n",
        },
        speakers="Ann anonymous-20080102-def",
    ),
    "AN4": Case(
        "an4",
        "wav/an4_clstk/fash/an251-fash-b.sph wav/an4test_clstk/mmxg/cen8-mmxg-b.sph",
        "an251-fash-b",
        "fash",
        "YES",
        {"sex": "F"},
        {"etc/an4_train.transcription": "<s> YES </s> (an251-fash-b)\n"},
        "fash mmxg",
    ),
    "TIDIGITS": Case(
        "tidigits",
        "train/man/ae/1a.wav train/woman/ac/1a.wav",
        "ae_1a",
        "ae",
        facts={"sex": "M"},
        speakers="ac ae",
    ),
    "Speech Commands": Case(
        "speech-commands",
        "bed/00176480_nohash_0.wav cat/00176480_nohash_0.wav "
        "cat/01cd3ef5_nohash_0.wav bed/01cd3ef5_nohash_1.wav cat/01cd3ef5_nohash_1.wav "
        "_background_noise_/pink.wav",
        "cat/00176480_nohash_0",
        "00176480",
        "cat",
        speakers="00176480 01cd3ef5",
        left_out="_background_noise_/pink.wav",
    ),
    "FSDD": Case(
        "fsdd",
        "recordings/0_jackson_0.wav recordings/1_theo_3.wav",
        "0_jackson_0",
        "jackson",
        "0",
        speakers="jackson theo",
    ),
    "AudioMNIST": Case(
        "audio-mnist",
        "data/01/0_01_0.wav data/02/5_02_1.wav",
        "5_02_1",
        "02",
        "5",
        speakers="01 02",
    ),
    "RAVDESS": Case(
        "ravdess",
        "Actor_01/03-01-01-01-01-01-01.wav Actor_02/03-01-01-01-01-01-02.wav",
        "03-01-01-01-01-01-02",
        "Actor_02",
        facts={"sex": "F"},
        speakers="Actor_01 Actor_02",
    ),
    "CREMA-D": Case(
        "crema-d",
        "AudioWAV/1001_DFA_ANG_XX.wav AudioWAV/1002_IEO_SAD_HI.wav",
        "1001_DFA_ANG_XX",
        "1001",
        facts={"age": "51", "sex": "M"},
        tables={"VideoDemographics.csv": "ActorID,Age,Sex,Race\n1001,51,Male,Caucasian\n"},
        speakers="1001 1002",
    ),
    "EmoDB": Case(
        "emo-db",
        "wav/03a01Fa.wav wav/08a02Wb.wav",
        "08a02Wb",
        "08",
        facts={"sex": "F"},
        speakers="03 08",
    ),
    "TESS": Case(
        "tess",
        "OAF_angry/OAF_back_angry.wav YAF_sad/YAF_dog_sad.wav",
        "OAF_back_angry",
        "OAF",
        "back",
        {"sex": "F"},
        speakers="OAF YAF",
    ),
    "SAVEE": Case(
        "savee",
        "DC/a01.wav JE/sa02.wav KL/n01.wav",
        "JE_sa02",
        "JE",
        facts={"sex": "M"},
        speakers="DC JE KL",
    ),
    "DAPS": Case(
        "daps",
        "clean/f1_script1_clean.wav clean/m2_script1_clean.wav "
        "ipad_office1/f1_script1_ipad_office1.wav",
        "f1_script1_clean",
        "f1",
        facts={"sex": "F"},
        speakers="f1 m2",
        left_out="ipad_office1/f1_script1_ipad_office1.wav",
    ),
    "Expresso": Case(
        "expresso",
        "audio_48khz/read/ex01/happy/base/ex01_happy_1.wav "
        "audio_48khz/read/ex02/sad/base/ex02_sad_1.wav "
        "audio_48khz/conversational/ex01-ex02/animal/x.wav",
        "ex01_happy_1",
        "ex01",
        "Good day",
        {"sex": "M"},
        {"read_transcriptions.txt": "ex01_happy_1\tGood day\n"},
        "ex01 ex02",
        "audio_48khz/conversational/ex01-ex02/animal/x.wav",
    ),
    "HUI": Case(
        "ljspeech-books",
        "Bernd/faust/wavs/f_01.wav Karl/buch/wavs/b_01.wav",
        "Bernd/faust/f_01",
        "Bernd",
        "Habe nun",
        tables={"Bernd/faust/metadata.csv": "f_01|Habe nun\n"},
        speakers="Bernd Karl",
    ),
    "LJSpeech for each speaker": Case(
        "ljspeech-speakers",
        "ann/wavs/1.wav bob/wavs/1.wav",
        "bob/1",
        "bob",
        "Of Bob",
        tables={"ann/metadata.csv": "1|Of Ann\n", "bob/metadata.csv": "1|of B|Of Bob\n"},
        speakers="ann bob",
    ),
    # data of one's own
    "train, valid and test by speaker": Case(
        "folders",
        "train/ann/1.wav train/bob/1.wav valid/ann/1.wav test/carl/1.wav",
        "train/ann/1",
        "ann",
        speakers="ann bob carl",
        held_out="test/carl/1 valid/ann/1",
    ),
    "parts below the speakers": Case(
        "folders",
        "ann/train/1.wav ann/test/1.wav bob/train/1.wav",
        "ann/train/1",
        "ann",
        speakers="ann bob",
        held_out="ann/test/1",
    ),
    "one part alone": Case(
        "folders", "train/ann/1.wav train/bob/1.wav", "train/ann/1", "ann", speakers="ann bob"
    ),
    "wavs above the speakers": Case(
        "folders", "wavs/ann/1.wav wavs/bob/1.wav", "wavs/ann/1", "ann", speakers="ann bob"
    ),
    "by sex": Case(
        "folders",
        "female/ann/1.wav male/bob/1.wav",
        "female/ann/1",
        "ann",
        facts={"sex": "F"},
        speakers="ann bob",
    ),
    "raw beside wav": Case(
        "folders",
        "ann/wav/1.wav ann/raw/1.wav bob/wav/1.wav",
        "ann/wav/1",
        "ann",
        speakers="ann bob",
        left_out="ann/raw/1.wav",
    ),
    "two rates": Case(
        "folders",
        "wav22k/ann/1.wav wav16k/ann/1.wav wav16k/bob/1.wav",
        "wav16k/ann/1",
        "ann",
        speakers="ann bob",
        left_out="wav22k/ann/1.wav",
    ),
    "sessions are no copies": Case(
        "folders", "ann/session1/1.wav ann/session2/1.wav", "ann/session1/1", "ann"
    ),
    "numbers as names": Case(
        "folders", "1/a.wav 2/b.wav 10/c.wav", "10/c", "10", speakers="1 10 2"
    ),
    "a corpus two levels down": Case(
        "vctk",
        "VCTK-Corpus/VCTK-Corpus/wav48/p225/p225_001.wav "
        "VCTK-Corpus/VCTK-Corpus/wav48/p226/p226_001.wav",
        "p225_001",
        "p225",
        "Please call.",
        tables={"VCTK-Corpus/VCTK-Corpus/txt/p225/p225_001.txt": "Please call."},
        speakers="p225 p226",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layout_is_recognised_with_speakers_texts_and_facts(tmp_path, name):
    case = CASES[name]
    corpus = open_corpus(make(tmp_path, case))
    assert corpus.layout == case.layout
    assert list(corpus.speakers) == (case.speakers.split() or [case.speaker])
    utterance = corpus[case.key]
    assert (utterance.speaker, utterance.text) == (case.speaker, case.text)
    assert corpus.speakers[case.speaker] == case.facts
    assert set(corpus.left_out) == set(case.left_out.split())
    assert all(utterance.path.is_file() for utterance in corpus)
    assert not any(map(is_part, corpus.speakers))
    if case.held_out:
        assert {u.key for u in corpus.split("held_out")} == set(case.held_out.split())


def test_every_published_layout_has_a_case():
    refused = {name for name, layout in LAYOUTS.items() if layout.refusal}
    tried = {case.layout for case in CASES.values()} | refused
    elsewhere = {"table", "vctk-0.92", "aishell", "pattern", "single"}
    assert set(LAYOUTS) - tried - elsewhere == set()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("train/a.wav valid/b.wav test/c.wav", "--layout single if all are of one speaker"),
        ("train/ann_1.wav train/bob_1.wav test/ann_2.wav", r"--pattern '\{speaker\}_\{\}'"),
        ("train/1_ann.wav train/2_bob.wav test/3_ann.wav", r"--pattern '\{\}_\{speaker\}'"),
        ("wavs/1.wav wavs/2.wav", "no subfolder but wavs"),
        ("clips/common_voice_1.mp3 clips/common_voice_2.mp3", "no subfolder but clips"),
        ("female/1.wav male/1.wav", "no subfolder but female, male"),
        ("de/ann/1.wav fr/carl/1.wav", r"--pattern '\{\}/\{speaker\}/\{\}'"),
        ("east/ann/ann_1.wav west/bob/bob_1.wav", r"--pattern '\{\}/\{speaker\}/\{\}'"),
        ("studio/ann/1.wav studio/bob/1.wav", "if those are the speakers"),
        ("audio/train/1.wav audio/test/2.wav train.tsv test.tsv", "FLEURS.*name no speakers"),
        ("mix_clean/1.wav s1/1.wav s2/1.wav", "mixtures.*several people at once"),
        ("ES2002a/audio/ES2002a.Mix-Headset.wav", "meetings: several people"),
    ],
)
def test_what_names_no_speakers_is_refused_with_what_to_give(tmp_path, names, message):
    case = Case("", names, "", "")
    with pytest.raises(InputError, match=message):
        open_corpus(make(tmp_path, case))


def test_the_pattern_that_a_refusal_names_opens_the_folder(tmp_path):
    folder = make(tmp_path, Case("", "train/ann_1.wav train/bob_1.wav test/ann_2.wav", "", ""))
    corpus = open_corpus(folder, pattern="{speaker}_{}")
    assert list(corpus.speakers) == ["ann", "bob"]
    assert [u.key for u in corpus.split("held_out")] == ["test/ann_2"]
    one = open_corpus(folder, layout="single")
    assert list(one.speakers) == ["corpus-x"]


def test_sexes_are_written_as_one_letter_in_all_layouts(tmp_path):
    table = "path,speaker,sex\na.wav,ann,female\nb.wav,bob,m\nc.wav,kim,X\n"
    folder = make(tmp_path, Case("", "a.wav b.wav c.wav", "", "", tables={"utterances.csv": table}))
    assert [f["sex"] for f in open_corpus(folder).speakers.values()] == ["F", "M", "X"]


def test_the_first_part_of_a_recording_in_a_manifest_ends_where_the_second_begins(tmp_path):
    rows = [("ann/a.wav", 0.0, 3.2), ("ann/a.wav", 3.2, 1.0), ("ann/b.wav", 0.0, 2.0)]
    names = ("audio_filepath", "offset", "duration")
    lines = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    case = Case("", "ann/a.wav ann/b.wav", "", "", tables={"x_manifest.json": lines})
    found = {u.key: u.span for u in open_corpus(make(tmp_path, case))}
    assert found["ann/a-0000000"] == (0.0, 3.2)
    assert found["ann/a-0000320"] == pytest.approx((3.2, 4.2))
    assert found["ann/b"] is None


def test_a_list_whose_speaker_is_not_clear_is_refused(tmp_path):
    rows = "\n".join(f"wavs/{n}.wav|Words {n}|{'ab'[n % 2]}|{'xy'[n % 2]}" for n in range(4))
    names = " ".join(f"wavs/{n}.wav" for n in range(4))
    folder = make(tmp_path, Case("", names, "", "", tables={"metadata.csv": rows}))
    with pytest.raises(InputError, match="which column .* utterances.tsv"):
        open_corpus(folder)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"wav.scp": "a a.wav\n"}, "no utt2spk"),
        (
            {"x_manifest.json": '{"audio_filepath": "ann/a.wav"}\n{"text": "no path"}'},
            "line 2.*audio_filepath",
        ),
        ({"x_manifest.json": '{"audio_filepath": "ann/a.wav", "offset": 2}'}, "a begin before"),
        ({"x_manifest.json": '{"audio_filepath": "wavs/a.wav", "text": "x"}'}, "names no speaker"),
        (
            {"wav.scp": "a a.wav\n", "utt2spk": "u ann\n", "segments": "u a one 2\n"},
            "segments: u: could not convert",
        ),
        (
            {"wav.scp": "a a.wav\n", "utt2spk": "u ann\n", "segments": "u a 3 2\n"},
            "a begin before the end",
        ),
        ({"a.stm": "a 1 ann x 2 <o> hi\n"}, "begin and end in seconds"),
    ],
)
def test_tables_of_others_that_lack_something_are_refused(tmp_path, tables, message):
    folder = make(tmp_path, Case("", "ann/a.wav", "", "", tables=tables))
    with pytest.raises(InputError, match=message):
        open_corpus(folder)


def test_files_that_are_called_like_tables_and_are_none_change_nothing(tmp_path):
    tables = {"manifest.json": '{"name": "app"}', "metadata.csv": "a,b\n1,2\n", "train.txt": "hi"}
    corpus = open_corpus(make(tmp_path, Case("", "ann/a.wav bob/b.wav", "", "", tables=tables)))
    assert (corpus.layout, list(corpus.speakers)) == ("folders", ["ann", "bob"])


def test_segments_of_kaldi_are_spans_of_a_file(tmp_path):
    tables = {
        "wav.scp": "talk talk.wav\n",
        "segments": "ann-1 talk 0.5 1.25\nann-2 talk 2 3\n",
        "utt2spk": "ann-1 ann\nann-2 ann\n",
    }
    corpus = open_corpus(make(tmp_path, Case("", "talk.wav", "", "", tables=tables)))
    assert [(u.key, u.span) for u in corpus] == [("ann-1", (0.5, 1.25)), ("ann-2", (2.0, 3.0))]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        *(
            (name, True)
            for name in "train Dev TEST valid wav wavs clips audio female male mix".split()
        ),
        *((name, True) for name in "source orig DR1 target_task1 wav48_silence_trimmed".split()),
        *((name, True) for name in "train-clean-100 clean_trainset_28spk_wav en_US mic1".split()),
        *(
            (name, False)
            for name in "ann p225 84 s1 speaker1 S0002 VCC2SF1 id10001 spk3 male1".split()
        ),
        *((name, False) for name in "Martin Wavell testa \u0430\u043d\u043d\u0430".split()),
    ],
)
def test_names_of_parts_are_no_speakers(name, part):
    assert is_part(name) == part


def test_parts_say_split_and_sex():
    assert split_of(["data", "train-clean-100"]) == "train"
    assert split_of(["ann", "evaluation"]) == "held_out"
    assert split_of(["Trainor"]) == ""  # a name, and no part
    assert sex_of(["by_book", "Female"]) == "F"
