//! Second moments on disk: `A.moments.safetensors` beside `A.json`.
//!
//! | tensor | shape, f64 |
//! | --- | --- |
//! | `<site>.even.square`, `<site>.odd.square` | upper triangle of `sum o o^T`, row by row, `[D (D + 1) / 2]` |
//! | `<site>.even.sum`, `<site>.odd.sum` | `sum o`, `[D]` |
//! | `<site>.output` | upper triangle of `W W^T`, `[D (D + 1) / 2]` |
//! | `<site>.sensitivity` | upper triangle of `sum g g^T`, `[D (D + 1) / 2]`, where it was measured |

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Analysis, ModelInfo, Moments, SecondMoment, Sensitivity, SiteMoments, Symmetric};
use crate::checkpoint::{FileKind, OutFile, RecordFile};
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::network::Site;

const FORMAT: &str = "pillars-moments";
const VERSION: u64 = 1;
const NOUN: &str = "a file of second moments";
const HALVES: [&str; 2] = ["even", "odd"];

#[derive(Debug, Serialize, Deserialize)]
struct MomentsHeader {
    model: ModelInfo,
    input: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    readings: Vec<Reading>,
    batches: u64,
    sites: BTreeMap<Site, SiteMomentsHeader>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SiteMomentsHeader {
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    stored_layer: usize,
    output_bias: bool,
    tokens: [u64; 2],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scored: Option<u64>,
}

impl Moments {
    /// Where the moments of the analysis at `analysis` are kept: `A.moments.safetensors` beside `A.json`.
    pub fn path_beside(analysis: &Path) -> PathBuf {
        analysis.with_extension("moments.safetensors")
    }

    /// Claims the file beside the analysis at `analysis`, as [`OutFile::claim`] does.
    pub fn claim_beside<P: AsRef<Path>>(analysis: &Path, inputs: &[P]) -> Result<OutFile> {
        OutFile::claim(&Self::path_beside(analysis), FileKind::Tensors(FORMAT), inputs)
    }

    /// Reads the moments at `path`.
    ///
    /// # Errors
    ///
    /// The file is missing, broken, or of another kind.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::new("there are no second moments of this name")
                .at(path)
                .hint("check the path; pillars analyze --moments writes them"));
        }
        let file = RecordFile::open(path, FORMAT, VERSION, NOUN)?;
        let record: MomentsHeader = file.record()?;
        let doubles = |name: String, numbers: usize| -> Result<Vec<f64>> {
            Ok(file.tensor(&name, &[numbers], DType::F64)?.to_vec1()?)
        };
        let mut sites = BTreeMap::new();
        let MomentsHeader { model, input, readings, batches, sites: headers } = record;
        for (site, found) in headers {
            let SiteMomentsHeader { heads, kv_heads, head_dim, stored_layer, output_bias, tokens, scored } = found;
            let wrong = || Error::new(format!("{site} has impossible sizes")).at(path);
            let dim = heads.checked_mul(head_dim).filter(|d| *d > 0 && *d < 1 << 24).ok_or_else(wrong)?;
            if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || tokens == [0, 0] || scored == Some(0) {
                return Err(wrong());
            }
            let symmetric = |name: String| -> Result<Symmetric> {
                let packed = doubles(name.clone(), Symmetric::numbers(dim))?;
                let matrix = Symmetric::from_packed(dim, packed).map_err(|e| e.at(path))?;
                match matrix.impossible_row() {
                    None => Ok(matrix),
                    Some(row) => {
                        let what = format!("'{name}' is damaged: its sum of squares in row {row} is less than 0");
                        Err(Error::new(what).at(path).hint("analyze again with --moments"))
                    }
                }
            };
            let half = |index: usize| -> Result<SecondMoment> {
                let name = HALVES[index];
                let square = symmetric(format!("{site}.{name}.square"))?;
                Ok(SecondMoment { tokens: tokens[index], sum: doubles(format!("{site}.{name}.sum"), dim)?, square })
            };
            let sensitivity = scored.map(|scored| -> Result<Sensitivity> {
                Ok(Sensitivity { square: symmetric(format!("{site}.sensitivity"))?, scored })
            });
            let moments = SiteMoments {
                heads,
                kv_heads,
                head_dim,
                stored_layer,
                output_bias,
                halves: [half(0)?, half(1)?],
                output: symmetric(format!("{site}.output"))?,
                sensitivity: sensitivity.transpose()?,
            };
            sites.insert(site, moments);
        }
        Ok(Self { model, input, readings, batches, sites })
    }

    /// The moments beside `analysis`, which lies at `at`.
    ///
    /// # Errors
    ///
    /// They are not there, cannot be read, or are not those of this analysis: another model, input or number of batches.
    pub fn read_beside(at: &Path, analysis: &Analysis) -> Result<Self> {
        let path = Self::path_beside(at);
        if path.is_file() && !analysis.settings.moments {
            return Err(Error::new("these second moments are of an earlier run: that of the analysis gathered none")
                .at(path)
                .hint("analyze again with --moments"));
        }
        if !path.is_file() {
            return Err(Error::new("the second moments of this analysis are not there")
                .at(path)
                .hint("analyze again with --moments"));
        }
        let moments = Self::read(&path)?;
        if moments.model.fingerprint != analysis.model.fingerprint {
            return Err(Error::new("these second moments are of another model than the analysis").at(path));
        }
        if moments.batches != analysis.batches || moments.input != analysis.settings.input {
            return Err(Error::new("these second moments are of another run than the analysis")
                .at(path)
                .hint("analyze again with --moments"));
        }
        Ok(moments)
    }

    /// Writes the moments; readers of `path` see the old file or all of the new.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors = Vec::new();
        let mut add = |name: String, values: &[f64]| -> Result<()> {
            tensors.push((name, Tensor::from_slice(values, values.len(), &Device::Cpu)?));
            Ok(())
        };
        for (site, moments) in &self.sites {
            for (name, half) in HALVES.iter().zip(&moments.halves) {
                add(format!("{site}.{name}.square"), half.square.packed())?;
                add(format!("{site}.{name}.sum"), &half.sum)?;
            }
            add(format!("{site}.output"), moments.output.packed())?;
            if let Some(sensitivity) = &moments.sensitivity {
                add(format!("{site}.sensitivity"), sensitivity.square.packed())?;
            }
        }
        let site = |s: &SiteMoments| SiteMomentsHeader {
            heads: s.heads,
            kv_heads: s.kv_heads,
            head_dim: s.head_dim,
            stored_layer: s.stored_layer,
            output_bias: s.output_bias,
            tokens: [s.halves[0].tokens, s.halves[1].tokens],
            scored: s.sensitivity.as_ref().map(|s| s.scored),
        };
        let record = MomentsHeader {
            model: self.model.clone(),
            input: self.input.clone(),
            readings: self.readings.clone(),
            batches: self.batches,
            sites: self.sites.iter().map(|(name, s)| (*name, site(s))).collect(),
        };
        RecordFile::write(path, FORMAT, VERSION, &record, &tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_sum_of_squares_can_be_is_refused_with_file_and_tensor() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.moments.safetensors");
        let site: Site = "encoder.0".parse().unwrap();
        let moments = |change: &dyn Fn(&mut SiteMoments)| {
            let half = |x: f64| SecondMoment {
                tokens: 3,
                sum: vec![x, 2.0],
                square: Symmetric::from_packed(2, vec![x, 0.5, 4.0]).unwrap(),
            };
            let mut own = SiteMoments {
                heads: 2,
                kv_heads: 2,
                head_dim: 1,
                stored_layer: 0,
                output_bias: true,
                halves: [half(1.0), half(2.0)],
                output: Symmetric::from_packed(2, vec![1.0, 0.0, 1.0]).unwrap(),
                sensitivity: None,
            };
            change(&mut own);
            let sites = [(site, own)].into_iter().collect();
            let (model, input) = (ModelInfo::default(), "text a.txt".to_owned());
            Moments { model, input, readings: Vec::new(), batches: 2, sites }
        };
        let whole = moments(&|_| {});
        whole.write(&path).unwrap();
        assert_eq!(Moments::read(&path).unwrap(), whole);
        let packed = |numbers: [f64; 3]| Symmetric::from_packed(2, numbers.to_vec()).unwrap();
        let refused = |change: &dyn Fn(&mut SiteMoments), tensor: &str| {
            moments(change).write(&path).unwrap();
            let error = Moments::read(&path).unwrap_err().to_string();
            let told = format!("'encoder.0.{tensor}'");
            assert!(error.contains(&told) && error.contains("a.moments.safetensors"), "{error}");
        };
        refused(&|own| own.halves[1].square = packed([1.0, 0.5, -1e9]), "odd.square");
        refused(&|own| own.halves[0].square = packed([-1.0, 0.5, 4.0]), "even.square");
        refused(&|own| own.output = packed([1.0, 0.0, -1.0]), "output");
        refused(&|own| own.halves[0].sum[1] = f64::NAN, "even.sum");
        let scored = |square| Some(Sensitivity { square, scored: 3 });
        refused(&|own| own.sensitivity = scored(packed([-1.0, 0.0, 1.0])), "sensitivity");
    }
}
