"""Operators of `com.microsoft` that a model may use. Pure.

The domain is onnxruntime's own. Optimisers and quantisers write its operators (a transformer that
was optimised holds `SkipLayerNormalization`, one that was quantised `MatMulNBits`), so refusing the
domain refuses most models that were made fast. An operator is listed when its definition
(`docs/ContribOperators.md` of onnxruntime) says that

1. it computes its outputs from its inputs and attributes alone: it reads no file or device, loads
   no library, calls no other program, and keeps nothing from one run to the next;
2. its work and memory are bounded by its inputs and outputs, as those of standard operators are;
3. it runs no graph of the model: what is in an attribute's graph would have to be looked at by the
   rules of that operator.

So not listed: `EPContext`, `Snpe` (a compiled blob, by path or by bytes, for a driver);
`Tokenizer` (regular expressions of the model's own over a caller's text); `BeamSearch`,
`GreedySearch`, `Sampling`, `WhisperBeamSearch` (3); what draws random numbers or exists for
training (`BiasDropout`, `BitmaskDropout`, `SampleOp`, `TorchEmbedding`); whatever only other
providers run (`QOrdered…`, `…BFP`, `Packed…`, `PagedAttention`). One that is added by a new runtime
is not listed until it was read.
"""

from __future__ import annotations

from typing import Final

_QUANTISED: Final = """
    DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul GatherBlockQuantized MatMulBnb4
    MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MulInteger QAttention
    QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
    QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid
    QLinearSoftmax QLinearWhere QMoE QuantizeLinear ReduceSumInteger
"""
_ATTENTION: Final = """
    Attention DecoderMaskedMultiHeadAttention GroupQueryAttention MultiHeadAttention
    RelativePositionBias RotaryEmbedding SparseAttention
"""
_FUSED: Final = """
    BiasSoftmax ConvTransposeWithDynamicPads FusedConv FusedGemm FusedMatMul MaxpoolWithMask MoE
    NhwcConv NhwcFusedConv NhwcMaxPool TransposeMatMul
"""
_ACTIVATIONS: Final = "BiasGelu FastGelu Gelu QuickGelu"
_NORMALISATIONS: Final = """
    EmbedLayerNormalization SkipLayerNormalization SkipSimplifiedLayerNormalization
"""
_ARRAYS: Final = """
    CDist ComplexMul ComplexMulConj CropAndResize ExpandDims GatherND GridSample Inverse Irfft
    IsAllFinite MurmurHash3 NGramRepeatBlock Pad Range Rfft SparseToDenseMatMul Trilu UnfoldTensor
    Unique
"""

MICROSOFT: Final = frozenset(
    " ".join((_QUANTISED, _ATTENTION, _FUSED, _ACTIVATIONS, _NORMALISATIONS, _ARRAYS)).split()
)
"""Names of operators of the domain `com.microsoft`."""
FUSED_STANDARD: Final = frozenset({"SimplifiedLayerNormalization"})
"""Names that optimisers of onnxruntime write into the standard's domain, by the same rules."""
