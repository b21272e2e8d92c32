//! What GGUF files say of tensors and tokens, by name and number.

use candle_core::quantized::GgmlDType;

/// Every tensor begins at a multiple of so many bytes.
pub(super) const ALIGNMENT: u64 = 32;

/// Element types that are read and written, with the format's numbers of them.
pub(super) const TYPES: [(u32, GgmlDType); 13] = [
    (0, GgmlDType::F32),
    (1, GgmlDType::F16),
    (2, GgmlDType::Q4_0),
    (3, GgmlDType::Q4_1),
    (6, GgmlDType::Q5_0),
    (7, GgmlDType::Q5_1),
    (8, GgmlDType::Q8_0),
    (10, GgmlDType::Q2K),
    (11, GgmlDType::Q3K),
    (12, GgmlDType::Q4K),
    (13, GgmlDType::Q5K),
    (14, GgmlDType::Q6K),
    (30, GgmlDType::BF16),
];

/// The name of the blocks in which numbers are quantized, as files are named after it; `None` of plain numbers.
pub(crate) fn block_name(dtype: GgmlDType) -> Option<&'static str> {
    match dtype {
        GgmlDType::Q4_0 => Some("Q4_0"),
        GgmlDType::Q4_1 => Some("Q4_1"),
        GgmlDType::Q5_0 => Some("Q5_0"),
        GgmlDType::Q5_1 => Some("Q5_1"),
        GgmlDType::Q8_0 => Some("Q8_0"),
        GgmlDType::Q8_1 => Some("Q8_1"),
        GgmlDType::Q2K => Some("Q2_K"),
        GgmlDType::Q3K => Some("Q3_K"),
        GgmlDType::Q4K => Some("Q4_K"),
        GgmlDType::Q5K => Some("Q5_K"),
        GgmlDType::Q6K => Some("Q6_K"),
        GgmlDType::Q8K => Some("Q8_K"),
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => None,
    }
}

/// Types of tokens by their numbers in the format.
pub(crate) mod token_type {
    pub(crate) const NORMAL: i32 = 1;
    pub(crate) const UNKNOWN: i32 = 2;
    pub(crate) const CONTROL: i32 = 3;
    pub(crate) const USER_DEFINED: i32 = 4;
    pub(crate) const UNUSED: i32 = 5;
    pub(crate) const BYTE: i32 = 6;
}

/// How GPT-2 splits text.
pub(crate) const GPT2: &str = "gpt-2";

/// Regular expressions by which text is split, in the spelling of tokenizer.json, and their name.
pub(crate) const SPLITS: [(&str, &str); 6] = [
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "llama-bpe",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen2",
    ),
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "qwen35",
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "tekken",
    ),
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        "gpt-4o",
    ),
    (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", GPT2),
];

/// Kinds of splitting that take whole words without merging them first.
pub(crate) const WHOLE_WORDS: [&str; 2] = ["llama-bpe", "tekken"];
