"""References of speech: features, normalized texts, error rates. Needs transformers, jiwer, numpy, scipy."""

import json
import pathlib

import jiwer
import numpy as np
from safetensors.numpy import save_file
from scipy.io import wavfile
from transformers import Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

HERE = pathlib.Path(__file__).parent

# A chirp from 100 to 7000 Hz with noise, one second at 16 kHz.
time = np.arange(16000) / 16000
rng = np.random.default_rng(7)
chirp = 0.4 * np.sin(2 * np.pi * (100 * time + 3450 * time**2)) + 0.02 * rng.standard_normal(16000)
samples = np.round(np.clip(chirp, -1, 1) * 32767).astype(np.int16)
wavfile.write(HERE / "chirp.wav", 16000, samples)
sound = samples.astype(np.float32) / 32768
tensors = {}
for bands in (8, 80, 128):
    # 1.2 seconds, so that there is silence behind the sound.
    extractor = WhisperFeatureExtractor(feature_size=bands, chunk_length=30)
    padded = np.pad(sound, (0, 19200 - 16000))
    tensors[f"log_mel.{bands}"] = extractor._np_extract_fbank_features(padded[None], "cpu")[0].astype(np.float32)
tensors["normalized"] = np.array(Wav2Vec2FeatureExtractor(do_normalize=True)(sound, sampling_rate=16000).input_values[0], np.float32)
# Every 8th value of the larger ones is enough.
tensors["log_mel.80"] = np.ascontiguousarray(tensors["log_mel.80"][:, ::4])
tensors["log_mel.128"] = np.ascontiguousarray(tensors["log_mel.128"][:, ::8])
tensors["normalized"] = np.ascontiguousarray(tensors["normalized"][::16])
save_file(tensors, HERE / "features.safetensors")

spelling = {"colour": "color", "centre": "center", "organise": "organize", "grey": "gray"}
texts = """Mr. Smith can't come; he won't pay $20 million.
It's 3 o'clock [noise] and I'ma go (laughs) home
twenty-five percent of the colour was grey
one oh one and double oh seven
She'd been to St. Mary's, hadn't she?
the 1960s and nineteen sixty four
two hundred and fifty thousand three hundred and one
one thousand two hundred thirty-four point five six
I have 2 dollars and seven cents
it costs $2 and ¢7, or $0.99
he's got ninety nine problems, y'all
minus five degrees; plus or minus
twenty first century, thirty second street, second hand
Ünïcödé naïve café œuvre Straße
1,000,000 people; 3.14159 and 1.000
uh, um, hmm... mm mhm
two and a half million and a half
three and a half
cats and a half
ten per cent, twelve percent, per capita
four score and seven years ago
sixty-fourths and two thirds, one half
triple one double five
zero point zero one
point of view at one point five
one
ones and twos, sixes and sevens
the twenties, thirtieth and fortieth
fifteen hundred, seventeen seventy six
three hundredths and two millions, five hundredth
one hundred and one dalmatians
positive ten and negative results
one twenty one two three
thirteen fourteen fifteen
twenty thirteen; two thousand thirteen
nine eleven; nine one one
a hundred pounds, five pounds, pounds of meat
10 euros 50 cents; £5; €3.50; 5€
Dr. and Mrs. Jones' dog's toys
we're they've i'm he'd she'll it'd've
rock 'n' roll ' quoted '
100% sure, 50 % off, % alone
a1b2c3 4th 5 th 6s
12.5 million, 12.55 hundred, 1.2.3 thousand
one million one hundred thousand and fifty
thousand, million, a dozen
forty two point
point blank
double trouble triple x
oh no o
one o one
two oh oh five
five six seven eight
eighty eight eighty eight
twelve hundred thirty four
1st 2nd 3rd 11th one hundred first two hundred twenty second
half past ten and five
mr mrs st dr prof capt gov ald gen sen rep pres rev hon asst assoc lt col jr sr esq
gonna wanna gotta woulda coulda shoulda ma'am let's ain't imma
$5 $ 5 $five -3 +4 - 5
he said, "I'd gone; I'd done; it's gone"
zeroth zero zeros third fifth twelfth eighth ninth hundredth
decillion and nonillions
0 00 007 zero zero seven
3 thousand 20 percent 1 percent ones 1 1s
one two hundred three four thousand
the organisation will organise in the centre
.5 0.5 five. 5.
① and ②
""".strip("\n").split("\n")
normalizer = EnglishTextNormalizer(spelling)
normalized = [[text, " ".join(normalizer(text).split())] for text in texts]

pairs = [
    (["the cat sat on the mat"], ["the cat sat on the mat"]),
    (["the cat sat on mat"], ["the cat sat on the mat"]),
    (["a cat sat on the the mat today"], ["the cat sat on the mat"]),
    (["hello world", "", "one two three"], ["hello there world", "good morning", "two three four five"]),
    (["completely different words here now yes"], ["no"]),
    (["naïve café", "  spaced   out  "], ["naive cafe", "spaced out"]),
    (["x y z"] * 3, ["x z", "z y x", "y"]),
]
rates = [
    {"transcripts": own, "said": said, "wer": jiwer.wer(said, own), "cer": jiwer.cer([" ".join(x.split()) for x in said], [" ".join(x.split()) for x in own])}
    for own, said in pairs
]
with open(HERE / "references.json", "w") as file:
    json.dump({"spelling": spelling, "normalized": normalized, "rates": rates}, file, ensure_ascii=False, indent=1)
    file.write("\n")

# The first 4,000 samples as FLAC, written by its rules: one block of plain samples a frame.
def crc(data, polynomial, bits):
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = ((value << 1) ^ polynomial if value >> (bits - 1) else value << 1) & ((1 << bits) - 1)
    return value


BLOCK, COUNT = 1000, 4000
info = BLOCK.to_bytes(2, "big") * 2 + bytes(6) + ((16000 << 44) | (15 << 36) | COUNT).to_bytes(8, "big") + bytes(16)
flac = b"fLaC" + bytes([0x80]) + len(info).to_bytes(3, "big") + info
for number in range(COUNT // BLOCK):
    # Fixed blocks, their size in 16 bits at the end, the rate of the file, one channel of 16 bits.
    head = bytes([0xFF, 0xF8, 0x70, 0x08, number]) + (BLOCK - 1).to_bytes(2, "big")
    frame = head + bytes([crc(head, 0x07, 8), 0x02]) + samples[number * BLOCK : (number + 1) * BLOCK].astype(">i2").tobytes()
    flac += frame + crc(frame, 0x8005, 16).to_bytes(2, "big")
(HERE / "chirp.flac").write_bytes(flac)
