"""Makes the kinds of tokenizers under `kinds`, and what transformers makes of `mixed.txt.gz` with each of them.

    python make.py CORPORA [KIND ..]

CORPORA holds `austen-emma.txt` and `bible.en-es.tsv`. Run with transformers 4.57.6, which made the `tokenizer.json` of most
published models, and again with 5.24 for the kinds that only newer releases build (`new`): release 5.24 builds several
kinds otherwise than their sentencepiece models say (Llama without `<s>`, mBART without its rules for characters).
"""
import gzip
import hashlib
import io
import json
import os
import random
import re
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import sentencepiece as spm
import tokenizers
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
KINDS = os.path.join(HERE, "kinds")

# The first article of the Universal Declaration of Human Rights, and everyday sentences.
SENTENCES = """
Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με λογική και συνείδηση.
Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью и должны поступать в духе братства.
Всі люди народжуються вільними і рівними у своїй гідності та правах. Вони наділені розумом і совістю.
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。ｶﾀｶﾅ、ひらがな、漢字。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 양심을 부여받았다.
يولد جميع الناس أحراراً متساوين في الكرامة والحقوق. وقد وهبوا عقلاً وضميراً وعليهم أن يعامل بعضهم بعضاً بروح الإخاء.
כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.
सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।
มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.
Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Zażółć gęślą jaźń.
Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. İstanbul'da ılık bir gün.
Alle Menschen sind frei und gleich an Würde und Rechten geboren. Große Straße, süße Äpfel, ÄÖÜ.
Tous les êtres humains naissent libres et égaux en dignité et en droits. Ça va? L'œuvre où naît l'été.
Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Příliš žluťoučký kůň.
Minden emberi lény szabadon születik és egyenlő méltósága és joga van. Árvíztűrő tükörfúrógép.
ყველა ადამიანი იბადება თავისუფალი და თანასწორი თავისი ღირსებითა და უფლებებით.
Բոլոր մարդիկ ծնվում են ազատ ու հավասար իրենց արժանապատվությամբ ու իրավունքներով։
Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Coração, pães, avô.
""".strip().split("\n")

ODD = [
    "  leading and   inner \t tabs\tand trailing   ", "non-breaking\u00a0space, thin\u2009space, ideographic\u3000space, zero\u200bwidth\u200dspace",
    "control\x01characters\x07and\x1bescapes \x7f del \x85 next", "soft\u00adhyphen, bom\ufeffinside, replacement \ufffd",
    "combining: e\u0301 a\u0308 n\u0303 o\u0302\u0323 \u1e69 s\u0323\u0307 \u0344 \u212b \u2126", "ligatures ﬁ ﬂ ﬃ Ǆ ǆ, fullwidth ＡＢＣ １２３ ！？, circled ①②③ ㈱ ㌔ ½ ²",
    "emoji 😀 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷 👍🏽 ❤️ ☃ ✈︎ 🫠", "quotes “curly” ‘single’ «guillemets» ``backticks'' — – … ‰ € £ ¥ ©",
    "numbers 1,234,567.89 and 9, 10, 2024, 3rd 1e-9 0x1F ١٢٣ १२३", "code: if (a[i]!=b->c){return &x;} // don't we'll I'd they've it's IT'S",
    "▁underscore▁▁twice ▁ _plain_ __two__", "ＴｏｋｙｏＴｏｗｅｒ ǅ İI ıi ß ẞ ﬀ ΣΑΣ ς σ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒽𝑒𝓁𝓁𝑜 𐍈 𠜎𠜱 \U0010fffd \ue000",
    "<s> </s> <unk> <pad> <mask> [CLS] [SEP] [MASK] [UNK] [PAD] <|endoftext|> <extra_id_0> <extra_id_99>", "a<mask>b a <mask> b  <mask>  [MASK]x x[MASK]",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "日本語とEnglishの混在 and العربية mixed with עברית 123",
    "http://example.com/a?b=c&d=%20 user@mail.org #tag @name", "\u202eright-to-left\u202c \u2028line\u2029paragraph", " ", "a", " a", "a ", ".", " .", "é", "e\u0301", "\u0301", "한국어 한글 각 각",
]


def mixed(corpora):
    """About 200 kB: prose, and words of many scripts in any order, with odd characters between."""
    rng = random.Random(7)
    emma = open(os.path.join(corpora, "austen-emma.txt"), encoding="utf-8").read()
    lines = [line for line in emma[20000:130000].split("\n") if line.strip()]
    with open(os.path.join(corpora, "bible.en-es.tsv"), encoding="utf-8") as file:
        lines += [row.rstrip("\n").split("\t")[2] for row in list(file)[:300]]
    lines += SENTENCES + ODD
    words = [word for line in SENTENCES + ODD for word in line.split(" ")]
    odd = [" ", " ", " ", " ", "  ", "\t", "\u00a0", "\u3000", "", "\x02", ", ", "-", "'", "\u0301 ", "▁", " 7", "😀"]
    for _ in range(420):
        lines.append("".join(rng.choice(words) + rng.choice(odd) for _ in range(rng.randrange(4, 14))))
    rng.shuffle(lines)
    return "\n".join(SENTENCES[:4] + ODD + lines).replace("\r", " ") + "\n"


def corpus(text):
    """What vocabularies are learnt from: all scripts, some of the prose, and not every character that will be read."""
    return [line for n, line in enumerate(text.split("\n")) if line.strip() and n % 3 == 0 and "\U0010fffd" not in line]


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False, indent=1)
        file.write("\n")


# A few of the rules that nmt_nfkc has: all of them take 240 kB in every model.
RULES = {"Ａ": "A", "Ｂ": "B", "Ｃ": "C", "ﬁ": "fi", "①": "1", "\u00a0": " ", "\u3000": " ", "\t": " ", "\u0001": "", "e\u0301": "é", "½": "1⁄2", "…": "..."}


def sentencepiece_model(lines, path, kind="unigram", size=900, rule=None, **more):
    if rule is None:
        rules = path + ".tsv"
        with open(rules, "w", encoding="utf-8") as file:
            for source, target in RULES.items():
                code = lambda text: " ".join(f"{ord(c):04X}" for c in text)
                file.write(f"{code(source)}\t{code(target)}\n")
        more["normalization_rule_tsv"] = rules
    else:
        more["normalization_rule_name"] = rule
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=out, model_type=kind, vocab_size=size, character_coverage=0.995, num_threads=1, minloglevel=2, **more)
    with open(path, "wb") as file:
        file.write(out.getvalue())
    if rule is None:
        os.remove(rules)


def word_pieces(lines, folder, lower, special):
    tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=1100, special_tokens=special, limit_alphabet=400))
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
        file.writelines(token + "\n" for token, _ in vocab)


def byte_pairs(lines, folder, special, prepare=None, suffix="", after=()):
    tokenizer = tokenizers.Tokenizer(models.BPE(end_of_word_suffix=suffix))
    tokenizer.normalizer, tokenizer.pre_tokenizer = prepare or (None, pre_tokenizers.ByteLevel(add_prefix_space=False))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=alphabet, end_of_word_suffix=suffix))
    tokenizer.model.save(folder)
    path = os.path.join(folder, "vocab.json")
    vocab = json.load(open(path, encoding="utf-8"))
    for token in after:
        vocab[token] = len(vocab)
    write(folder, "vocab.json", vocab)


def kind(name, model_type, make, tokenizer_class=None, new=False, files=(), **config):
    return name, dict(model_type=model_type, make=make, tokenizer_class=tokenizer_class, new=new, files=dict(files), config=config)


def spiece(name, **more):
    return lambda lines, folder: sentencepiece_model(lines, os.path.join(folder, name), **more)


def clip(lines, folder):
    regex = tokenizers.Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Lowercase()])
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(regex, behavior="removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    byte_pairs(lines, folder, [], (normalizer, split), "</w>", ["<|startoftext|>", "<|endoftext|>"])


def two_models(lines, folder):
    """Marian's: pieces of both sides in one list of another order; some pieces have no place in it."""
    for side, part, size in [("source", lines[::2], 600), ("target", lines[1::2], 500)]:
        sentencepiece_model(part, os.path.join(folder, side + ".spm"), size=size, bos_id=-1, eos_id=0, unk_id=1)
    pieces = []
    for side in ["target", "source"]:
        model = spm.SentencePieceProcessor(model_file=os.path.join(folder, side + ".spm"))
        pieces += [model.id_to_piece(i) for i in range(2, model.get_piece_size()) if i % 50]
    names = ["</s>", "<unk>", ">>de<<", ">>fr<<"] + list(dict.fromkeys(pieces)) + ["<pad>"]
    write(folder, "vocab.json", {token: i for i, token in enumerate(names)})


def many_languages(lines, folder):
    """M2M100's: a list of the pieces in another order, the languages after it."""
    path = os.path.join(folder, "sentencepiece.bpe.model")
    sentencepiece_model(lines, path)
    model = spm.SentencePieceProcessor(model_file=path)
    pieces = [model.id_to_piece(i) for i in range(3, model.get_piece_size()) if i % 60]
    names = ["<s>", "<pad>", "</s>", "<unk>"] + pieces[::-1]
    write(folder, "vocab.json", {token: i for i, token in enumerate(names)})


def converted(name):
    """The `tokenizer.json` of another kind, over which the configuration says something else."""
    def save(_, folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(os.path.join(KINDS, name))
        tokenizer.backend_tokenizer.save(os.path.join(folder, "tokenizer.json"))
    return save


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>"]
LLAMA = dict(kind="bpe", rule="identity", byte_fallback=True, split_digits=True, size=1200)
MASK = {"__type": "AddedToken", "content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
ALL = dict([
    kind("bert", "bert", lambda l, f: word_pieces(l, f, True, BERT), "BertTokenizer"),
    kind("bert-cased", "bert", lambda l, f: word_pieces(l, f, False, BERT), "BertTokenizer", do_lower_case=False),
    kind("bert-accents", "distilbert", lambda l, f: word_pieces(l, f, True, BERT), None, do_lower_case=True, strip_accents=False, tokenize_chinese_chars=False),
    kind("mpnet", "mpnet", lambda l, f: word_pieces(l, f, True, ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]), "MPNetTokenizer"),
    kind("gpt2", "gpt2", lambda l, f: byte_pairs(l, f, [], after=["<|endoftext|>"]), "GPT2Tokenizer"),
    kind("opt", "opt", lambda l, f: byte_pairs(l, f, FAIRSEQ), "GPT2Tokenizer", add_bos_token=True, bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"),
    kind("roberta", "roberta", lambda l, f: byte_pairs(l, f, FAIRSEQ, after=["<mask>"]), "RobertaTokenizer"),
    kind("roberta-prefix", "roberta", lambda l, f: byte_pairs(l, f, FAIRSEQ, after=["<mask>"]), "RobertaTokenizer", add_prefix_space=True, mask_token=MASK),
    kind("bart", "bart", lambda l, f: byte_pairs(l, f, FAIRSEQ, after=["<mask>"]), "BartTokenizer"),
    kind("blenderbot", "blenderbot", lambda l, f: byte_pairs(l, f, FAIRSEQ, after=["<mask>"]), "BlenderbotTokenizer"),
    kind("qwen2", "qwen2", lambda l, f: byte_pairs(l, f, [], (normalizers.NFC(), pre_tokenizers.ByteLevel(add_prefix_space=False))), "Qwen2Tokenizer",
         added_tokens_decoder={"1000": {"content": "<|endoftext|>", "special": True}, "1001": {"content": "<|im_start|>", "special": True}}),
    kind("gpt_neox", "gpt_neox", lambda l, f: byte_pairs(l, f, ["<|endoftext|>", "<|padding|>"]), "GPTNeoXTokenizer", new=True),
    kind("clip", "clip_text_model", clip, "CLIPTokenizer"),
    kind("t5", "t5", spiece("spiece.model", rule="nmt_nfkc", pad_id=0, eos_id=1, unk_id=2, bos_id=-1), "T5Tokenizer"),
    kind("xlm-roberta", "xlm-roberta", spiece("sentencepiece.bpe.model"), "XLMRobertaTokenizer"),
    kind("camembert", "camembert", spiece("sentencepiece.bpe.model", bos_id=1, unk_id=0, eos_id=2), "CamembertTokenizer"),
    kind("albert", "albert", spiece("spiece.model", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]"), "AlbertTokenizer"),
    kind("pegasus", "pegasus", spiece("spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1), "PegasusTokenizer"),
    kind("deberta-v2", "deberta-v2", spiece("spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", user_defined_symbols="[MASK]"), "DebertaV2Tokenizer"),
    kind("xglm", "xglm", spiece("sentencepiece.bpe.model"), "XGLMTokenizer"),
    kind("mbart", "mbart", spiece("sentencepiece.bpe.model"), "MBartTokenizer"),
    kind("mbart50", "mbart", spiece("sentencepiece.bpe.model"), "MBart50Tokenizer", src_lang="de_DE"),
    kind("nllb", "m2m_100", spiece("sentencepiece.bpe.model", kind="bpe"), "NllbTokenizer", src_lang="deu_Latn",
         added_tokens_decoder={str(i): dict(content=t, special=True, normalized=False, lstrip=t == "<mask>") for i, t in [*enumerate(FAIRSEQ), *enumerate(["ace_Latn", "deu_Latn", "eng_Latn", "<mask>"], 901)]},
         additional_special_tokens=["ace_Latn", "deu_Latn", "eng_Latn"]),
    kind("llama", "llama", spiece("tokenizer.model", **LLAMA), "LlamaTokenizer"),
    kind("llama-legacy", "llama", spiece("tokenizer.model", **LLAMA), "LlamaTokenizer", legacy=True, add_bos_token=True, add_eos_token=True),
    kind("gemma", "gemma", spiece("tokenizer.model", pad_id=0, eos_id=1, bos_id=2, unk_id=3, bos_piece="<bos>", eos_piece="<eos>", add_dummy_prefix=False, remove_extra_whitespaces=False, user_defined_symbols="<mask>,<start_of_turn>,<end_of_turn>,\n,\t,▁▁,▁▁▁", **LLAMA), "GemmaTokenizer", add_bos_token=True),
    kind("siglip", "siglip", spiece("spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1), "SiglipTokenizer"),
    kind("marian", "marian", two_models, "MarianTokenizer", source_lang="en", target_lang="de"),
    kind("m2m_100", "m2m_100", many_languages, "M2M100Tokenizer", src_lang="de"),
    kind("llama-switched", "llama", converted("llama"), "LlamaTokenizerFast", add_bos_token=False, add_eos_token=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>"),
    kind("roberta-switched", "roberta", converted("roberta"), "RobertaTokenizerFast", add_prefix_space=True),
    kind("mbart50-switched", "mbart", converted("mbart50"), "MBart50TokenizerFast", src_lang="fr_XX"),
    kind("esm", "esm", lambda l, f: open(os.path.join(f, "vocab.txt"), "w").write("\n".join("<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>".split())), "EsmTokenizer"),
])


# Where tokenizers that run sentencepiece itself differ from any that this one is converted to: equally likely pieces, and
# marks on characters that the rules rewrite; with SigLIP, special tokens in the midst of a text.
CORNERS = re.compile("x{30}|[\u00a0\u3000½…ñé][\u0300-\u036f]|e\u0301\u0301")
INSIDE = re.compile("</s>|<unk>")


def left_out(tokenizer, line):
    if tokenizer.is_fast or type(tokenizer).__name__ == "EsmTokenizer":
        return False
    return bool(CORNERS.search(line) or (type(tokenizer).__name__ == "SiglipTokenizer" and INSIDE.search(line)))


def reference(tokenizer, lines):
    """The ids of the first lines, and a hash over those of all: 32-bit little endian, a line after the other."""
    whole, first, size = hashlib.sha256(), [], 0
    corners = [i for i, line in enumerate(lines) if left_out(tokenizer, line)]
    for i, line in enumerate(lines):
        ids = tokenizer(line)["input_ids"] if i not in corners else []
        whole.update(b"".join(i.to_bytes(4, "little") for i in ids))
        if size < 4000:
            first.append(ids)
            size += len(line.encode())
    return {"transformers": transformers.__version__, "lines": len(lines), "left_out": corners, "sha256": whole.hexdigest(), "first": first}


def main():
    text_path = os.path.join(HERE, "mixed.txt.gz")
    if not os.path.exists(text_path):
        with open(text_path, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
            packed.write(mixed(sys.argv[1]).encode())
    text = gzip.open(text_path, "rt", encoding="utf-8", newline="\n").read()
    lines, learn = text.rstrip("\n").split("\n"), corpus(text)
    new = int(transformers.__version__.split(".")[0]) >= 5
    for name, about in ALL.items():
        folder = os.path.join(KINDS, name)
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        if not os.path.isdir(folder):
            os.makedirs(folder)
            about["make"](learn, folder)
            write(folder, "config.json", {"model_type": about["model_type"]})
            config = about["config"] | ({"tokenizer_class": about["tokenizer_class"]} if about["tokenizer_class"] else {})
            write(folder, "tokenizer_config.json", config)
            for file, value in about["files"].items():
                write(folder, file, value)
        if new != about["new"]:
            continue
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        found = reference(tokenizer, lines)
        if about["tokenizer_class"] == "MarianTokenizer":
            ids = [tokenizer(text_target=line)["input_ids"] for line in lines[:20]]
            found["target"] = ids
            found["decoded"] = [tokenizer.decode(line, skip_special_tokens=True) for line in ids]
        with open(os.path.join(folder, "reference.json"), "w") as file:
            json.dump(found, file, separators=(",", ":"))
            file.write("\n")
        print(name, type(tokenizer).__name__, len(tokenizer), found["sha256"][:8])


main()
