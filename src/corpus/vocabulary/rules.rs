//! The classes of tokenizers that are built from files other than `tokenizer.json`, a row each.

/// Where a special token's text is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenMatch {
    /// In the text as it was given.
    Exact,
    /// With the spaces before it.
    AfterSpaces,
    /// With the spaces on both sides.
    BetweenSpaces,
    /// In the normalized text.
    Normalized,
    /// In the normalized text, with the spaces before it.
    NormalizedAfterSpaces,
}

/// Key of a special token, its text where no file names another, and how it is found.
pub(super) type RuleToken = (&'static str, &'static str, TokenMatch);

/// What a class reads its vocabulary from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VocabularySource {
    /// `vocab.txt`, words and their parts.
    WordPieces,
    /// `vocab.txt`, tokens that are found anywhere in text.
    Residues,
    /// Byte-level BPE of `vocab.json` and `merges.txt`.
    BytePairs(ByteSplit),
    /// A model of sentencepiece.
    Subwords(SubwordScheme),
    /// A model of sentencepiece behind lower case, without punctuation (SigLIP).
    BareSubwords,
    /// A model of sentencepiece, whose pieces are numbered by `vocab.json`, the languages after them.
    NumberedSubwords,
    /// Two models of sentencepiece, `source.spm` and `target.spm`, whose pieces are numbered by `vocab.json`.
    TwoModels,
}

/// How text is split before bytes are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteSplit {
    /// By GPT-2's pattern of words, numbers and signs.
    Gpt2,
    /// As GPT-2 does, behind NFC.
    Composed,
    /// Behind NFC, digits one by one.
    Qwen2,
    /// Lower case, words end with `</w>`.
    Clip,
}

/// How the pieces of a model of sentencepiece become a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SubwordScheme {
    T5,
    Albert,
    DebertaV2,
    Camembert,
    Pegasus,
    Llama,
    Gemma,
    /// fairseq's four special tokens in front, languages and the mask behind.
    Fairseq {
        languages: &'static [&'static str],
        mask: bool,
        unused: usize,
    },
    /// fairseq's, with languages that other files name.
    Nllb,
}

/// Special tokens around a text: names of keys without `_token`, `language`, and `$A`, `$B`; `:1` is the type of the second text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextFrame {
    Nothing,
    Always {
        single: &'static str,
        pair: &'static str,
    },
    /// As `add_bos_token` and `add_eos_token` say; the first is so where nothing is said.
    Switches {
        begins: bool,
    },
    /// As `add_bos_token` says, of the first text alone.
    Begins,
}

/// A class of tokenizers, or several that are the same.
#[derive(Debug)]
pub(super) struct TokenizerRule {
    /// Class names in `tokenizer_class`, without `Fast`.
    pub(super) classes: &'static [&'static str],
    /// Kinds of models that have it where no file names a class.
    pub(super) model_types: &'static [&'static str],
    pub(super) source: VocabularySource,
    pub(super) tokens: &'static [RuleToken],
    pub(super) around: TextFrame,
}

const BERT: TextFrame = TextFrame::Always { single: "cls $A sep", pair: "cls $A sep $B:1 sep:1" };
const ROBERTA: TextFrame = TextFrame::Always { single: "cls $A sep", pair: "cls $A sep sep $B sep" };
const ENDS: TextFrame = TextFrame::Always { single: "$A eos", pair: "$A $B eos" };
const LANGUAGE_FIRST: TextFrame = TextFrame::Always { single: "language $A eos", pair: "language $A $B eos" };

const FAIRSEQ_TOKENS: [RuleToken; 6] = [
    ("bos_token", "<s>", TokenMatch::Exact),
    ("eos_token", "</s>", TokenMatch::Exact),
    ("unk_token", "<unk>", TokenMatch::Exact),
    ("sep_token", "</s>", TokenMatch::Exact),
    ("pad_token", "<pad>", TokenMatch::Exact),
    ("cls_token", "<s>", TokenMatch::Exact),
];
const MASKED: [RuleToken; 7] = {
    let [bos, eos, unk, sep, pad, cls] = FAIRSEQ_TOKENS;
    [bos, eos, unk, sep, pad, cls, ("mask_token", "<mask>", TokenMatch::AfterSpaces)]
};
const MASKED_LATER: [RuleToken; 7] = {
    let [bos, eos, unk, sep, pad, cls, (key, text, _)] = MASKED;
    [bos, eos, unk, sep, pad, cls, (key, text, TokenMatch::NormalizedAfterSpaces)]
};
const END_OF_TEXT: &[RuleToken] = &[
    ("bos_token", "<|endoftext|>", TokenMatch::Exact),
    ("eos_token", "<|endoftext|>", TokenMatch::Exact),
    ("unk_token", "<|endoftext|>", TokenMatch::Exact),
];
const T5_TOKENS: &[RuleToken] = &[
    ("eos_token", "</s>", TokenMatch::Exact),
    ("unk_token", "<unk>", TokenMatch::Exact),
    ("pad_token", "<pad>", TokenMatch::Exact),
];

pub(super) static RULES: &[TokenizerRule] = &[
    TokenizerRule {
        classes: &[
            "BertTokenizer",
            "DistilBertTokenizer",
            "ElectraTokenizer",
            "MobileBertTokenizer",
            "ConvBertTokenizer",
            "LayoutLMTokenizer",
            "LxmertTokenizer",
            "RetriBertTokenizer",
            "SqueezeBertTokenizer",
        ],
        model_types: &["bert", "distilbert", "electra", "nomic_bert"],
        source: VocabularySource::WordPieces,
        tokens: &[
            ("unk_token", "[UNK]", TokenMatch::Exact),
            ("sep_token", "[SEP]", TokenMatch::Exact),
            ("pad_token", "[PAD]", TokenMatch::Exact),
            ("cls_token", "[CLS]", TokenMatch::Exact),
            ("mask_token", "[MASK]", TokenMatch::Exact),
        ],
        around: BERT,
    },
    TokenizerRule {
        classes: &["MPNetTokenizer"],
        model_types: &["mpnet"],
        source: VocabularySource::WordPieces,
        tokens: &[
            ("bos_token", "<s>", TokenMatch::Exact),
            ("eos_token", "</s>", TokenMatch::Exact),
            ("unk_token", "[UNK]", TokenMatch::Exact),
            ("sep_token", "</s>", TokenMatch::Exact),
            ("pad_token", "<pad>", TokenMatch::Exact),
            ("cls_token", "<s>", TokenMatch::Exact),
            ("mask_token", "<mask>", TokenMatch::AfterSpaces),
        ],
        around: TextFrame::Always { single: "cls $A sep", pair: "cls $A sep sep $B:1 sep:1" },
    },
    TokenizerRule {
        classes: &["EsmTokenizer"],
        model_types: &["esm"],
        source: VocabularySource::Residues,
        tokens: &[
            ("eos_token", "<eos>", TokenMatch::Exact),
            ("unk_token", "<unk>", TokenMatch::Exact),
            ("pad_token", "<pad>", TokenMatch::Exact),
            ("cls_token", "<cls>", TokenMatch::Exact),
            ("mask_token", "<mask>", TokenMatch::Exact),
        ],
        around: TextFrame::Always { single: "cls $A eos", pair: "cls $A eos $B eos" },
    },
    TokenizerRule {
        classes: &["GPT2Tokenizer", "CodeGenTokenizer"],
        model_types: &["gpt2", "gpt_neo", "gptj", "codegen", "opt", "phi", "starcoder2", "granite"],
        source: VocabularySource::BytePairs(ByteSplit::Gpt2),
        tokens: END_OF_TEXT,
        around: TextFrame::Begins,
    },
    TokenizerRule {
        classes: &["GPTNeoXTokenizer"],
        model_types: &["gpt_neox", "olmo", "stablelm"],
        source: VocabularySource::BytePairs(ByteSplit::Composed),
        tokens: END_OF_TEXT,
        around: TextFrame::Switches { begins: false },
    },
    TokenizerRule {
        classes: &["Qwen2Tokenizer"],
        model_types: &["qwen2", "qwen3", "qwen3_moe", "qwen2_vl", "qwen2_5_vl"],
        source: VocabularySource::BytePairs(ByteSplit::Qwen2),
        tokens: &[
            ("eos_token", "<|endoftext|>", TokenMatch::Exact),
            ("unk_token", "<|endoftext|>", TokenMatch::Exact),
            ("pad_token", "<|endoftext|>", TokenMatch::Exact),
        ],
        around: TextFrame::Nothing,
    },
    TokenizerRule {
        classes: &["RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer"],
        model_types: &["roberta", "bart", "data2vec-text"],
        source: VocabularySource::BytePairs(ByteSplit::Gpt2),
        tokens: &MASKED,
        around: ROBERTA,
    },
    TokenizerRule {
        classes: &["BlenderbotTokenizer"],
        model_types: &["blenderbot"],
        source: VocabularySource::BytePairs(ByteSplit::Gpt2),
        tokens: &MASKED,
        around: TextFrame::Always { single: "$A eos", pair: "$A $B:1" },
    },
    TokenizerRule {
        classes: &["CLIPTokenizer"],
        model_types: &["clip", "clip_text_model"],
        source: VocabularySource::BytePairs(ByteSplit::Clip),
        tokens: &[
            ("bos_token", "<|startoftext|>", TokenMatch::Normalized),
            ("eos_token", "<|endoftext|>", TokenMatch::Normalized),
            ("unk_token", "<|endoftext|>", TokenMatch::Normalized),
            ("pad_token", "<|endoftext|>", TokenMatch::Normalized),
        ],
        around: TextFrame::Always { single: "bos $A eos", pair: "bos $A eos eos $B eos" },
    },
    TokenizerRule {
        classes: &["T5Tokenizer", "MT5Tokenizer"],
        model_types: &["t5"],
        source: VocabularySource::Subwords(SubwordScheme::T5),
        tokens: T5_TOKENS,
        around: TextFrame::Always { single: "$A eos", pair: "$A eos $B eos" },
    },
    TokenizerRule {
        classes: &["PegasusTokenizer"],
        model_types: &["pegasus"],
        source: VocabularySource::Subwords(SubwordScheme::Pegasus),
        tokens: &[
            ("eos_token", "</s>", TokenMatch::Exact),
            ("unk_token", "<unk>", TokenMatch::Exact),
            ("pad_token", "<pad>", TokenMatch::Exact),
            ("mask_token", "<mask_2>", TokenMatch::Exact),
        ],
        around: ENDS,
    },
    TokenizerRule {
        classes: &["AlbertTokenizer"],
        model_types: &["albert"],
        source: VocabularySource::Subwords(SubwordScheme::Albert),
        tokens: &[
            ("bos_token", "[CLS]", TokenMatch::Exact),
            ("eos_token", "[SEP]", TokenMatch::Exact),
            ("unk_token", "<unk>", TokenMatch::Exact),
            ("sep_token", "[SEP]", TokenMatch::Exact),
            ("pad_token", "<pad>", TokenMatch::Exact),
            ("cls_token", "[CLS]", TokenMatch::Exact),
            ("mask_token", "[MASK]", TokenMatch::AfterSpaces),
        ],
        around: BERT,
    },
    TokenizerRule {
        classes: &["DebertaV2Tokenizer"],
        model_types: &["deberta-v2"],
        source: VocabularySource::Subwords(SubwordScheme::DebertaV2),
        tokens: &[
            ("bos_token", "[CLS]", TokenMatch::Exact),
            ("eos_token", "[SEP]", TokenMatch::Exact),
            ("unk_token", "[UNK]", TokenMatch::Normalized),
            ("sep_token", "[SEP]", TokenMatch::Exact),
            ("pad_token", "[PAD]", TokenMatch::Exact),
            ("cls_token", "[CLS]", TokenMatch::Exact),
            ("mask_token", "[MASK]", TokenMatch::Exact),
        ],
        around: BERT,
    },
    TokenizerRule {
        classes: &["XLMRobertaTokenizer"],
        model_types: &["xlm-roberta"],
        source: VocabularySource::Subwords(SubwordScheme::Fairseq { languages: &[], mask: true, unused: 0 }),
        tokens: &MASKED,
        around: ROBERTA,
    },
    TokenizerRule {
        classes: &["CamembertTokenizer"],
        model_types: &["camembert"],
        source: VocabularySource::Subwords(SubwordScheme::Camembert),
        tokens: &MASKED,
        around: ROBERTA,
    },
    TokenizerRule {
        classes: &["XGLMTokenizer"],
        model_types: &["xglm"],
        source: VocabularySource::Subwords(SubwordScheme::Fairseq { languages: &[], mask: false, unused: 7 }),
        tokens: &FAIRSEQ_TOKENS,
        around: TextFrame::Always { single: "eos $A", pair: "eos $A eos eos $B" },
    },
    TokenizerRule {
        classes: &["MBartTokenizer"],
        model_types: &["mbart"],
        source: VocabularySource::Subwords(SubwordScheme::Fairseq { languages: MBART, mask: true, unused: 0 }),
        tokens: &MASKED,
        around: TextFrame::Always { single: "$A eos language", pair: "$A $B eos language" },
    },
    TokenizerRule {
        classes: &["MBart50Tokenizer"],
        model_types: &[],
        source: VocabularySource::Subwords(SubwordScheme::Fairseq { languages: MBART50, mask: true, unused: 0 }),
        tokens: &MASKED_LATER,
        around: LANGUAGE_FIRST,
    },
    TokenizerRule {
        classes: &["NllbTokenizer"],
        model_types: &[],
        source: VocabularySource::Subwords(SubwordScheme::Nllb),
        tokens: &MASKED_LATER,
        around: LANGUAGE_FIRST,
    },
    TokenizerRule {
        classes: &["M2M100Tokenizer"],
        model_types: &["m2m_100"],
        source: VocabularySource::NumberedSubwords,
        tokens: &FAIRSEQ_TOKENS,
        around: LANGUAGE_FIRST,
    },
    TokenizerRule {
        classes: &["MarianTokenizer"],
        model_types: &["marian"],
        source: VocabularySource::TwoModels,
        tokens: T5_TOKENS,
        around: ENDS,
    },
    TokenizerRule {
        classes: &["LlamaTokenizer"],
        model_types: &["llama", "mistral", "mixtral", "phi3", "llava"],
        source: VocabularySource::Subwords(SubwordScheme::Llama),
        tokens: &[
            ("bos_token", "<s>", TokenMatch::Exact),
            ("eos_token", "</s>", TokenMatch::Exact),
            ("unk_token", "<unk>", TokenMatch::Exact),
        ],
        around: TextFrame::Switches { begins: true },
    },
    TokenizerRule {
        classes: &["GemmaTokenizer"],
        model_types: &["gemma", "gemma2", "gemma3_text", "gemma3"],
        source: VocabularySource::Subwords(SubwordScheme::Gemma),
        tokens: &[
            ("bos_token", "<bos>", TokenMatch::Exact),
            ("eos_token", "<eos>", TokenMatch::Exact),
            ("unk_token", "<unk>", TokenMatch::Exact),
            ("pad_token", "<pad>", TokenMatch::Exact),
        ],
        around: TextFrame::Switches { begins: true },
    },
    TokenizerRule {
        classes: &["SiglipTokenizer"],
        model_types: &["siglip", "siglip_text_model"],
        source: VocabularySource::BareSubwords,
        tokens: &[
            ("eos_token", "</s>", TokenMatch::BetweenSpaces),
            ("unk_token", "<unk>", TokenMatch::BetweenSpaces),
            ("pad_token", "</s>", TokenMatch::BetweenSpaces),
        ],
        around: TextFrame::Always { single: "$A eos", pair: "$A eos $B eos" },
    },
];

/// The language that a class begins with where no file names one.
pub(super) fn usual_language(class: &str) -> &'static str {
    match class {
        "NllbTokenizer" => "eng_Latn",
        "M2M100Tokenizer" => "en",
        _ => "en_XX",
    }
}

/// Languages of mBART (Liu et al. 2020), in the order of their ids.
const MBART: &[&str] = &[
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN",
    "zh_CN",
];

/// Languages of mBART-50 (Tang et al. 2020).
const MBART50: &[&str] = &[
    "ar_AR", "cs_CZ", "de_DE", "en_XX", "es_XX", "et_EE", "fi_FI", "fr_XX", "gu_IN", "hi_IN", "it_IT", "ja_XX",
    "kk_KZ", "ko_KR", "lt_LT", "lv_LV", "my_MM", "ne_NP", "nl_XX", "ro_RO", "ru_RU", "si_LK", "tr_TR", "vi_VN",
    "zh_CN", "af_ZA", "az_AZ", "bn_IN", "fa_IR", "he_IL", "hr_HR", "id_ID", "ka_GE", "km_KH", "mk_MK", "ml_IN",
    "mn_MN", "mr_IN", "pl_PL", "ps_AF", "pt_XX", "sv_SE", "sw_KE", "ta_IN", "te_IN", "th_TH", "tl_XX", "uk_UA",
    "ur_PK", "xh_ZA", "gl_ES", "sl_SI",
];

/// Languages of M2M-100 (Fan et al. 2020).
pub(super) const M2M100: &[&str] = &[
    "af", "am", "ar", "ast", "az", "ba", "be", "bg", "bn", "br", "bs", "ca", "ceb", "cs", "cy", "da", "de", "el", "en",
    "es", "et", "fa", "ff", "fi", "fr", "fy", "ga", "gd", "gl", "gu", "ha", "he", "hi", "hr", "ht", "hu", "hy", "id",
    "ig", "ilo", "is", "it", "ja", "jv", "ka", "kk", "km", "kn", "ko", "lb", "lg", "ln", "lo", "lt", "lv", "mg", "mk",
    "ml", "mn", "mr", "ms", "my", "ne", "nl", "no", "ns", "oc", "or", "pa", "pl", "ps", "pt", "ro", "ru", "sd", "si",
    "sk", "sl", "so", "sq", "sr", "ss", "su", "sv", "sw", "ta", "th", "tl", "tn", "tr", "uk", "ur", "uz", "vi", "wo",
    "xh", "yi", "yo", "zh", "zu",
];

/// Languages of the models that M2M-100's makers made for WMT 2021.
pub(super) const WMT21: &[&str] = &["en", "ha", "is", "ja", "cs", "ru", "zh", "de"];
