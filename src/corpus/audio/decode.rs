//! Recordings as samples of one channel at one rate: WAV, FLAC, MP3.

use std::path::Path;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::common::Limit;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::FORMAT_ID_MP3;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

use crate::checkpoint::open_file;
use crate::corpus::guard::guarded;
use crate::error::{Error, Result};

/// Longest recording that is read, in seconds: more is no sentence, talk or lecture.
const LONGEST: u64 = 2 * 3600;
/// Samples a second that recordings may have.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Most channels that are mixed.
const MOST_CHANNELS: usize = 64;
/// Bytes of tags and pictures that are looked at, all the others being passed over.
const TAG_BYTES: usize = 1 << 16;
/// Samples that are resampled at a time.
const CHUNK: usize = 1024;
/// Samples of the input that an output is formed of.
const TAPS: usize = 256;

fn unreadable(error: impl std::fmt::Display, file: &Path) -> Error {
    Error::new(format!("cannot read the recording: {error}")).at(file).hint("convert it to WAV, FLAC or MP3")
}

/// The samples of a file, its channels mixed to their mean, at `rate` samples a second.
///
/// # Errors
/// Where it is no WAV, FLAC or MP3 file, is cut short, or claims to be longer than [`LONGEST`].
pub(super) fn decode(file: &Path, rate: u32) -> Result<Vec<f32>> {
    let (samples, own) = guarded(|why| unreadable(why, file), || mixed(file))?;
    if samples.iter().any(|x| !x.is_finite()) {
        return Err(unreadable("it holds a sample that is not finite", file));
    }
    resampled(samples, own, rate).map_err(|e| e.at(file))
}

/// The mean of all channels, and how many samples a second there are.
fn mixed(file: &Path) -> Result<(Vec<f32>, u32)> {
    let open = open_file(file).map_err(|e| Error::from(e).at(file))?;
    let bytes = open.metadata().map_err(|e| Error::from(e).at(file))?.len();
    let stream = MediaSourceStream::new(Box::new(open), Default::default());
    let mut hint = Hint::new();
    if let Some(ending) = file.extension().and_then(|e| e.to_str()) {
        hint.with_extension(ending);
    }
    let limit = Limit::Maximum(TAG_BYTES);
    let meta = MetadataOptions::default().limit_tag_bytes(limit).limit_visual_bytes(limit);
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(&hint, stream, FormatOptions::default(), meta).map_err(|e| unreadable(e, file))?;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| unreadable("it holds no sound", file))?;
    let (id, claimed) = (track.id, track.num_frames);
    let parameters = track.codec_params.as_ref().and_then(|params| params.audio());
    let parameters = parameters.ok_or_else(|| unreadable("nothing says how it is coded", file))?.clone();
    let rate =
        parameters.sample_rate.ok_or_else(|| unreadable("nothing says how many samples a second it has", file))?;
    if !RATES.contains(&rate) {
        return Err(unreadable(format!("it claims {rate} samples a second"), file));
    }
    let most = LONGEST * u64::from(rate);
    let too_long = |frames: u64| {
        let what = format!("it claims {} hours", frames / (u64::from(rate) * 3600));
        Error::new(format!("the recording is too long: {what}")).at(file).hint("cut it into parts of 2 hours at most")
    };
    if let Some(frames) = claimed.filter(|frames| *frames > most) {
        return Err(too_long(frames));
    }
    if parameters.channels.as_ref().is_some_and(|channels| channels.count() > MOST_CHANNELS) {
        return Err(unreadable("it claims too many channels", file));
    }
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(&parameters, &AudioDecoderOptions::default())
        .map_err(|e| unreadable(e, file))?;
    // What a header claims is no reason to ask for memory: samples are added as they come.
    let mut samples: Vec<f32> = Vec::new();
    let mut interleaved: Vec<f32> = Vec::new();
    while let Some(packet) = next_packet(&mut *format, file)? {
        if packet.track_id != id {
            continue;
        }
        let decoded = decoder.decode(&packet).map_err(|e| unreadable(e, file))?;
        let channels = decoded.spec().channels().count().clamp(1, MOST_CHANNELS);
        decoded.copy_to_vec_interleaved(&mut interleaved);
        samples.extend(interleaved.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        if samples.len() as u64 > most {
            return Err(too_long(samples.len() as u64));
        }
    }
    // Without a header of its own an MP3's length is a guess.
    let is_exact = format.format_info().format != FORMAT_ID_MP3;
    match claimed.filter(|frames| is_exact && *frames > samples.len() as u64) {
        Some(frames) => {
            let what = format!("its header claims {frames} samples, but its {bytes} bytes hold {}", samples.len());
            Err(unreadable(what, file))
        }
        None if samples.is_empty() => Err(unreadable("it holds no sample", file)),
        None => Ok((samples, rate)),
    }
}

/// The next packet; `None` at the end of the file.
fn next_packet(format: &mut dyn FormatReader, file: &Path) -> Result<Option<symphonia::core::packet::Packet>> {
    match format.next_packet() {
        Ok(packet) => Ok(packet),
        // What is missing then is counted.
        Err(SymphoniaError::IoError(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(unreadable(error, file)),
    }
}

/// The same sound at another rate, band-limited below half of the lower one.
fn resampled(samples: Vec<f32>, from: u32, to: u32) -> Result<Vec<f32>> {
    if from == to {
        return Ok(samples);
    }
    let failed = |e: &dyn std::fmt::Display| Error::new(format!("cannot change the rate from {from} to {to}: {e}"));
    let defaults = SincInterpolationParameters::new(TAPS, WindowFunction::BlackmanHarris2);
    // Between its points the filter is late by half a step.
    let parameters = SincInterpolationParameters { oversampling_factor: 1024, ..defaults };
    let ratio = f64::from(to) / f64::from(from);
    let mut resampler = Async::<f32>::new_sinc(ratio, 1.0, &parameters, CHUNK, 1, FixedAsync::Input);
    let resampler = resampler.as_mut().map_err(|e| failed(e))?;
    // The output for the moment `t` of the input, in samples, is number `(t + late) * ratio - 1`. Silence in front makes that
    // a whole number for the first sample; else all would be late by a part of one.
    let late = TAPS / 2;
    let period = (from / greatest_common_divisor(from, to)) as usize;
    let ahead = TAPS.next_multiple_of(period) + period - late % period;
    let before = ((ahead + late) * to as usize / from as usize).saturating_sub(1 + resampler.output_delay());
    let silence = std::iter::repeat_n(0.0, ahead);
    let padded: Vec<f32> = silence.chain(samples.iter().copied()).collect();
    let input = InterleavedSlice::new(&padded, 1, padded.len()).map_err(|e| failed(&e))?;
    let mut all = resampler.process_all(&input, padded.len(), None).map_err(|e| failed(&e))?.take_data();
    let count = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from)) as usize;
    all.drain(..before.min(all.len()));
    all.resize(count, 0.0);
    Ok(all)
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file of 16 bits, whose header claims `claimed` bytes of samples.
    fn wav(rate: u32, channels: u16, samples: &[i16], claimed: u32) -> Vec<u8> {
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((36u32.wrapping_add(claimed)).to_le_bytes());
        bytes.extend(b"WAVEfmt ");
        bytes.extend(16u32.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend((rate * u32::from(channels) * 2).to_le_bytes());
        bytes.extend((channels * 2).to_le_bytes());
        bytes.extend(16u16.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(claimed.to_le_bytes());
        bytes.extend(samples.iter().flat_map(|x| x.to_le_bytes()));
        bytes
    }

    fn written(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn tone(rate: u32, hertz: f64, seconds: f64) -> Vec<i16> {
        let at = |n: usize| (std::f64::consts::TAU * hertz * n as f64 / f64::from(rate)).sin();
        (0..(f64::from(rate) * seconds) as usize).map(|n| (at(n) * 16384.0) as i16).collect()
    }

    #[test]
    fn channels_are_mixed_and_samples_scaled() {
        let (_folder, path) = written("a.wav", &wav(16_000, 2, &[16384, 0, -32768, -32768], 8));
        assert_eq!(decode(&path, 16_000).unwrap(), [0.25, -1.0]);
    }

    #[test]
    fn a_tone_stays_the_same_tone_at_another_rate() {
        for rate in [8_000u32, 11_025, 22_050, 44_100, 47_999, 48_000] {
            let samples = tone(rate, 440.0, 1.0);
            let (_folder, path) = written("a.wav", &wav(rate, 1, &samples, samples.len() as u32 * 2));
            let got = decode(&path, 16_000).unwrap();
            assert!(got.len().abs_diff(16_000) <= 1, "{rate}: {}", got.len());
            let want = |n: usize| 0.5 * (std::f64::consts::TAU * 440.0 * n as f64 / 16_000.0).sin();
            // The ends are cut off sounds, which ring.
            let worst = (1000..15_000).map(|n| (f64::from(got[n]) - want(n)).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-3, "{rate}: {worst}");
        }
    }

    #[test]
    fn what_lies_above_half_the_rate_is_gone() {
        let samples = tone(48_000, 11_000.0, 1.0);
        let (_folder, path) = written("a.wav", &wav(48_000, 1, &samples, samples.len() as u32 * 2));
        let got = decode(&path, 16_000).unwrap();
        let loudest = got[1000..15_000].iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(loudest < 1e-3, "{loudest}");
    }

    #[test]
    fn every_kind_of_file_gives_its_samples() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/speech");
        let whole = decode(&folder.join("chirp.wav"), 16_000).unwrap();
        assert_eq!(whole.len(), 16_000);
        let flac = decode(&folder.join("chirp.flac"), 16_000).unwrap();
        assert_eq!(flac, whole[..4000]);
        // Frames of MPEG 1 layer III, 128 kbit/s, 44.1 kHz, one channel, which hold no sound.
        let frame = [&[0xff, 0xfb, 0x90, 0xc4][..], &[0; 413]].concat();
        let (_folder, path) = written("a.mp3", &frame.repeat(20));
        let silence = decode(&path, 44_100).unwrap();
        assert!(silence.len() >= 18 * 1152 && silence.iter().all(|x| *x == 0.0), "{}", silence.len());
        let mut cut = std::fs::read(folder.join("chirp.flac")).unwrap();
        cut.truncate(5000);
        let (_folder, path) = written("a.flac", &cut);
        let error = decode(&path, 16_000).unwrap_err().to_string();
        assert!(error.contains("cannot read the recording"), "{error}");
    }

    #[test]
    fn claims_are_held_against_the_file() {
        let fault = |name: &str, bytes: &[u8]| {
            let (_folder, path) = written(name, bytes);
            decode(&path, 16_000).unwrap_err().to_string()
        };
        // Two gigabytes in a file of 48 bytes: 18 hours.
        let error = fault("a.wav", &wav(16_000, 1, &[1, 2], 0x7fff_fff0));
        assert!(error.contains("too long") && error.contains("hours"), "{error}");
        let error = fault("a.wav", &wav(16_000, 1, &[1, 2], 4000));
        assert!(error.contains("claims 2000 samples, but its 48 bytes hold"), "{error}");
        assert!(fault("a.wav", &wav(16_000, 1, &[], 0)).contains("no sample"));
        assert!(fault("a.wav", b"RIFF").contains("cannot read the recording"));
        assert!(fault("a.mp3", &[0; 4000]).contains("cannot read the recording"));
        // More channels than a product of them with bytes can be.
        let mut many = wav(16_000, 1, &[1, 2], 4);
        many[22..24].copy_from_slice(&0x9101u16.to_le_bytes());
        assert!(fault("a.wav", &many).contains("cannot read the recording"));
    }
}
