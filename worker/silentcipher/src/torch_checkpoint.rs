//! Loader of the published files. The tensors determine widths and numbers of layers; everything
//! else is checked.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::pickle::PthTensors;
use candle_core::{DType, Device, Tensor};

use super::carrier::Carrier;
use super::cipher_model::{Reader, SYMBOLS, SilentCipherModel};
use super::network::{BatchNorm, ConvStack, GatedConv};
use super::stft::BAND;
use super::{CSM_MESSAGE_SDR, SilentCipherError};

/// The three files, in the order encoder, carrier decoder, message decoder.
const FILES: [&str; 3] = ["enc_c.ckpt", "dec_c.ckpt", "dec_m_0.ckpt"];
/// The file with the mark's strength.
const SETTINGS: &str = "hparams.yaml";
/// Largest file that is read: the largest real one has 10 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Most layers of one network; the real ones have 3, 4 and 10.
const MAX_LAYERS: usize = 64;

/// The tensors of one file.
pub(super) struct Tensors {
    pub(super) file: PathBuf,
    pub(super) by_name: HashMap<String, Tensor>,
}

/// Layer as its file holds it.
struct ConvParts {
    /// Weights, (2 outputs, inputs, kernel, kernel).
    weight: Tensor,
    bias: Vec<f32>,
    norm: BatchNorm,
}

/// Reads the model from a folder.
pub(super) fn model(folder: &Path) -> Result<SilentCipherModel, SilentCipherError> {
    let [encoder, carrier, reader] = FILES.map(|name| read(&folder.join(name)));
    assemble(&encoder?, &carrier?, &reader?, message_sdr(&folder.join(SETTINGS))?)
}

/// Builds the model of these tensors.
pub(super) fn assemble(
    encoder: &Tensors,
    carrier: &Tensors,
    reader: &Tensors,
    message_sdr: f32,
) -> Result<SilentCipherModel, SilentCipherError> {
    let encoding = encoder.layers(0, 1, 1, None)?;
    let features = outputs(&encoding)?;
    let mut decoding = carrier.layers(0, 1, 0, Some(1))?;
    let name = "main.0.conv.weight";
    let inputs = decoding[0].weight.dim(1)?;
    if inputs < features + 2 || !(inputs - features).is_multiple_of(2) {
        let expected = format!("the encoder's {features} channels and two equal parts more");
        return Err(carrier.shape(name, carrier.get(name)?.dims(), expected));
    }
    decoding[0].weight = fold(&decoding[0].weight, features)?;
    let [rows, columns] = [BAND, SYMBOLS];
    let spread = encoder.values("linear.weight", &[rows, columns])?;
    let offset = encoder.values("linear.bias", &[rows])?;
    let message = |symbol| (0..rows).map(|row| spread[row * columns + symbol] + offset[row]).collect();
    let carrier =
        Carrier { encoder: stack(encoding)?, messages: (0..SYMBOLS).map(message).collect(), decoder: stack(decoding)? };
    let reader = Reader {
        stack: stack(reader.layers(1, 2, 1, Some(SYMBOLS))?)?,
        weight: reader.values("linear.weight", &[1, BAND])?,
        bias: reader.values("linear.bias", &[1])?[0],
    };
    Ok(SilentCipherModel { carrier: Arc::new(carrier), reader: Arc::new(reader), message_sdr })
}

/// Builds the encoder alone.
#[cfg(test)]
pub(super) fn encoder(tensors: &Tensors) -> Result<ConvStack, SilentCipherError> {
    Ok(stack(tensors.layers(0, 1, 1, None)?)?)
}

fn stack(layers: Vec<ConvParts>) -> candle_core::Result<ConvStack> {
    let layers = layers.into_iter().map(|parts| GatedConv::new(&parts.weight, parts.bias, parts.norm));
    Ok(ConvStack::new(layers.collect::<candle_core::Result<_>>()?))
}

fn outputs(layers: &[ConvParts]) -> candle_core::Result<usize> {
    layers.last().map_or(Ok(0), |layer| Ok(layer.weight.dim(0)? / 2))
}

/// Adds up the weights of the repeated inputs behind the first `features`, so that one of each is
/// left.
fn fold(weight: &Tensor, features: usize) -> candle_core::Result<Tensor> {
    let repeats = (weight.dim(1)? - features) / 2;
    let sum = |start| weight.narrow(1, start, repeats)?.to_dtype(DType::F64)?.sum_keepdim(1)?.to_dtype(DType::F32);
    Tensor::cat(&[weight.narrow(1, 0, features)?, sum(features)?, sum(features + repeats)?], 1)?.contiguous()
}

impl Tensors {
    fn get(&self, key: &str) -> Result<&Tensor, SilentCipherError> {
        let missing = || SilentCipherError::Missing { file: self.file.clone(), key: key.to_owned() };
        self.by_name.get(key).ok_or_else(missing)
    }

    fn shape(&self, key: &str, shape: &[usize], expected: String) -> SilentCipherError {
        SilentCipherError::Shape { file: self.file.clone(), key: key.to_owned(), shape: shape.to_vec(), expected }
    }

    /// Returns the values of a tensor of this shape, row by row.
    fn values(&self, key: &str, shape: &[usize]) -> Result<Vec<f32>, SilentCipherError> {
        let tensor = self.get(key)?;
        if tensor.dims() != shape {
            return Err(self.shape(key, tensor.dims(), format!("{shape:?}")));
        }
        let expected = |expected| SilentCipherError::Value { file: self.file.clone(), key: key.to_owned(), expected };
        if tensor.dtype() != DType::F32 {
            return Err(expected("a tensor of 32-bit floats"));
        }
        let values = tensor.flatten_all()?.to_vec1::<f32>()?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err(expected("all finite"));
        }
        if key.ends_with("running_var") && values.iter().any(|value| *value < 0.0) {
            return Err(expected("all positive"));
        }
        Ok(values)
    }

    /// Reads the layers `main.{first}`, `main.{first + step}` and so on, up to the last one.
    /// `inputs` is the number of inputs of the first layer, 0 for any. `outputs` is the number of
    /// outputs of the last layer.
    fn layers(
        &self,
        first: usize,
        step: usize,
        inputs: usize,
        outputs: Option<usize>,
    ) -> Result<Vec<ConvParts>, SilentCipherError> {
        let index = |key: &String| key.strip_prefix("main.")?.split('.').next()?.parse::<usize>().ok();
        let last = self.by_name.keys().filter_map(index).max().unwrap_or(first).min(first + step * MAX_LAYERS);
        let mut layers: Vec<ConvParts> = Vec::new();
        let mut width = inputs;
        for at in (first..=last.max(first)).step_by(step) {
            let expected = outputs.filter(|_| at + step > last);
            let parts = self.layer(at, width, expected)?;
            width = parts.bias.len() / 2;
            layers.push(parts);
        }
        Ok(layers)
    }

    fn layer(&self, at: usize, inputs: usize, outputs: Option<usize>) -> Result<ConvParts, SilentCipherError> {
        let name = |part: &str| format!("main.{at}.{part}");
        let key = name("conv.weight");
        let shape = self.get(&key)?.dims().to_vec();
        let fits = match shape[..] {
            [out, into, kernel, same] => {
                outputs.is_none_or(|outputs| out == outputs)
                    && out > 0
                    && (inputs == 0 || into == inputs)
                    && kernel == same
                    && matches!(kernel, 1 | 3)
            }
            _ => false,
        };
        if !fits {
            let out = outputs.map_or("outputs".to_owned(), |outputs| outputs.to_string());
            let into = if inputs == 0 { "inputs".to_owned() } else { inputs.to_string() };
            return Err(self.shape(&key, &shape, format!("[{out}, {into}, k, k] with k 1 or 3")));
        }
        let both = [self.values(&key, &shape)?, self.values(&name("gate.weight"), &shape)?].concat();
        let (out, into, kernel) = (shape[0], shape[1], shape[2]);
        let vector = |part: &str| self.values(&name(part), &[out]);
        Ok(ConvParts {
            weight: Tensor::from_vec(both, (2 * out, into, kernel, kernel), &Device::Cpu)?,
            bias: [vector("conv.bias")?, vector("gate.bias")?].concat(),
            norm: BatchNorm {
                weight: vector("bn.weight")?,
                bias: vector("bn.bias")?,
                mean: vector("bn.running_mean")?,
                variance: vector("bn.running_var")?,
            },
        })
    }
}

/// Reads a file of `torch.save`. Removes the `module.` that data-parallel training puts before
/// names.
pub(super) fn read(file: &Path) -> Result<Tensors, SilentCipherError> {
    let failed = |reason: String| SilentCipherError::Read { file: file.to_owned(), reason };
    let bytes = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(SilentCipherError::TooLarge { file: file.to_owned(), bytes, limit: MAX_FILE_BYTES });
    }
    // candle's reader of pickles relies on lists as long as torch writes them, and panics
    // otherwise.
    let read = catch_unwind(AssertUnwindSafe(|| read_all(file, bytes)));
    let by_name = read.map_err(|_| failed("the file is no checkpoint of torch".to_owned()))?.map_err(failed)?;
    Ok(Tensors { file: file.to_owned(), by_name })
}

fn read_all(file: &Path, bytes: u64) -> Result<HashMap<String, Tensor>, String> {
    let tensors = PthTensors::new(file, None).map_err(|error| error.to_string())?;
    let mut by_name = HashMap::new();
    for (name, info) in tensors.tensor_infos() {
        let sizes = info.layout.dims().iter().map(|&size| size as u64);
        let claimed = sizes.chain([info.dtype.size_in_bytes() as u64]).try_fold(1_u64, u64::checked_mul);
        if claimed.is_none_or(|claimed| claimed > bytes) {
            return Err(format!("{name} has shape {:?}, which is more than the whole file", info.layout.dims()));
        }
        let tensor = tensors.get(name).map_err(|error| format!("{name}: {error}"))?;
        let plain = name.strip_prefix("module.").unwrap_or(name).to_owned();
        by_name.extend(tensor.map(|tensor| (plain, tensor)));
    }
    Ok(by_name)
}

/// Reads the line `message_sdr:` of the settings.
fn message_sdr(file: &Path) -> Result<f32, SilentCipherError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(CSM_MESSAGE_SDR),
        Err(error) => return Err(SilentCipherError::Read { file: file.to_owned(), reason: error.to_string() }),
    };
    let Some(value) = text.lines().find_map(|line| line.strip_prefix("message_sdr:")) else {
        return Ok(CSM_MESSAGE_SDR);
    };
    let value = value.split('#').next().unwrap_or_default().trim();
    let decibels = value.parse::<f32>().ok().filter(|decibels| (0.0..=100.0).contains(decibels));
    let key = "message_sdr".to_owned();
    decibels.ok_or(SilentCipherError::Value { file: file.to_owned(), key, expected: "a number of dB from 0 to 100" })
}
