// The kernels of one frame: both transformers for all slots at once, and the drawing of codes.
//
// Rows are slots. A row's result depends on that row alone, bit for bit. Every sum runs in an order
// that the widths decide, and all rows go through the same matrix instructions.
//
// Kernels follow each other in one stream. From compute capability 9.0 on the next kernel starts
// early, fetches its first weights, and waits for its inputs (`wait_for_inputs`). Every thread must
// wait before it touches anything that another kernel writes.
//
// Weights `(outs, width)` are bf16, f32, or ggml's Q8_0 (blocks of 32: an f16 scale, 32 signed
// bytes). Widths are multiples of 8. The residual stream, logits, cosines, sines and gains are f32.
// `T` is the type of the keys, the values and the inputs of plain products.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

namespace {

constexpr int WARP = 32;
constexpr int WARPS = 8;
// Threads of a block of a product.
constexpr int THREADS = WARPS * WARP;
// Inputs that a warp multiplies at once, 8 a thread; as long as a block of Q8_0.
constexpr int CHUNK = 32;
constexpr int Q8_BYTES = 34;
// Rows of Q8_0 are padded to a multiple of this many inputs.
constexpr int Q8_ROW = 256;
// Outputs of a matrix instruction.
constexpr int TILE_OUTS = 8;

// Places of 8 weights that a thread has in the ring. A block needs 96 KB, which every device from
// compute capability 8.0 on can give.
constexpr int PLACES = 24;

constexpr int CODEBOOKS = 32;
constexpr int ATTEND_THREADS = 512;
constexpr int SAMPLE_THREADS = 512;
// Most codes of a codebook.
constexpr int CODES_MAX = 2048;

__device__ __forceinline__ void wait_for_inputs() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ uint32_t pair(float low, float high) {
    __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&both);
}

// c (16 rows, 8 outs) += a (16 rows, 16 inputs) * b (16 inputs, 8 outs).
__device__ __forceinline__ void multiply(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                                         uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ void load8(const float *from, float (&to)[8]) {
    float4 a = *reinterpret_cast<const float4 *>(from), b = *reinterpret_cast<const float4 *>(from + 4);
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w, to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

__device__ __forceinline__ void load4(const float *from, float (&to)[4]) {
    float4 a = *reinterpret_cast<const float4 *>(from);
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
}

__device__ __forceinline__ void load4(const __nv_bfloat16 *from, float (&to)[4]) {
    uint2 raw = *reinterpret_cast<const uint2 *>(from);
    float2 a = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&raw.x));
    float2 b = __bfloat1622float2(*reinterpret_cast<__nv_bfloat162 *>(&raw.y));
    to[0] = a.x, to[1] = a.y, to[2] = b.x, to[3] = b.y;
}

__device__ __forceinline__ void load8(const __nv_bfloat16 *from, __nv_bfloat16 (&to)[8]) {
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(from);
}

template <class X> __device__ __forceinline__ void clear8(X (&to)[8]) {
#pragma unroll
    for (int i = 0; i < 8; i++) to[i] = static_cast<X>(0.0f);
}

// Packs eight inputs of a row into four pairs of bf16.
__device__ __forceinline__ void pairs8(const float (&from)[8], uint32_t (&to)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = pair(from[2 * i], from[2 * i + 1]);
}

__device__ __forceinline__ void pairs8(const __nv_bfloat16 (&from)[8], uint32_t (&to)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = *reinterpret_cast<const uint32_t *>(&from[2 * i]);
}

__device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

// Use of a product's sums.
enum Then { STORE, ADD, GATE };

// Weights as the ring holds them. `fetch` begins to copy 8 weights of row `out` from input `k` on.
// If `out` is below 0 or `k` is past the width, it copies zeros. If the format has scales, it also
// copies those of the two rows in `columns`.
struct Bf16 {
    static constexpr bool SCALED = false;
    __device__ static void fetch(uint4 *place, const void *weights, long out, int k, int width, const long (&)[2]) {
        const bool there = out >= 0 && k < width;
        const __nv_bfloat16 *at = static_cast<const __nv_bfloat16 *>(weights) + (there ? out * width + k : 0);
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(place))),
                     "l"(at), "r"(there ? 16 : 0)
                     : "memory");
    }
    __device__ static void pairs(const uint4 &place, uint32_t (&to)[4]) {
        to[0] = place.x, to[1] = place.y, to[2] = place.z, to[3] = place.w;
    }
};

// Blocks lie at even addresses, which an asynchronous copy cannot read, so a thread loads and
// stores them itself.
struct Q8 {
    static constexpr bool SCALED = true;
    __device__ static const uint16_t *block(const void *weights, long out, int k, int width) {
        const long blocks = (width + Q8_ROW - 1) / Q8_ROW * (Q8_ROW / CHUNK);
        return reinterpret_cast<const uint16_t *>(static_cast<const char *>(weights) + (out * blocks + k / CHUNK) * Q8_BYTES);
    }
    __device__ static void fetch(uint4 *place, const void *weights, long out, int k, int width, const long (&columns)[2]) {
        uint4 made = make_uint4(0, 0, 0, 0);
        if (out >= 0 && k < width) {
            const uint16_t *at = block(weights, out, k, width) + 1 + k % CHUNK / 2;
            made.x = __ldg(at) | static_cast<uint32_t>(__ldg(at + 1)) << 16;
            made.y = __ldg(at + 2) | static_cast<uint32_t>(__ldg(at + 3)) << 16;
        }
        if (columns[0] >= 0) made.z = __ldg(block(weights, columns[0], k, width));
        if (columns[1] >= 0) made.w = __ldg(block(weights, columns[1], k, width));
        *place = made;
    }
    // Every signed byte is exact in bf16.
    __device__ static void pairs(const uint4 &place, uint32_t (&to)[4]) {
        const uint32_t halves[2] = {place.x, place.y};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t two = halves[i / 2] >> (i % 2 * 16);
            to[i] = pair(static_cast<float>(static_cast<int8_t>(two & 0xFF)),
                         static_cast<float>(static_cast<int8_t>(two >> 8 & 0xFF)));
        }
    }
    __device__ static float2 scales(const uint4 &place) {
        return make_float2(__half2float(__ushort_as_half(place.z)), __half2float(__ushort_as_half(place.w)));
    }
};

// Computes y (rows, outs) from x (rows, width), both dense, by matrix instructions.
//
// A block makes `NT` tiles of outputs for all rows, at most 8 * `H`. Its warps share the width, a
// chunk each in turn, and their sums are added in order. A thread takes 8 inputs in a row at once,
// of weights and of x, and spreads them over two instructions. The order within a chunk is thus a
// permutation, the same for both.
//
// With `NORM`, x is RMS-normed on the way. The gains are applied before the product and the row's
// factor after it; the sum of squares for the factor is gathered meanwhile. With `GATE`, there are
// twice as many rows of weights, gates first.
//
// Weights stream through a ring in shared memory. Every thread fills and reads its own places, so
// that no warp waits for another. The ring is filled before the inputs are there.
template <class W, class X, int H, int NT, bool NORM, Then THEN, class Y>
__device__ __forceinline__ void product(const void *weights, const X *x, const float *gains, float eps, Y *y, int rows,
                                        int width, int outs) {
    // Chunks in the ring, and chunks whose inputs are loaded together.
    constexpr int STEPS = PLACES / NT, U = NORM ? (H == 4 ? 2 : 4) : 8 / H;
    constexpr int OUTS = (THEN == GATE ? NT / 2 : NT) * TILE_OUTS;
    constexpr int ROW = NT * TILE_OUTS;
    __shared__ float squares_of[WARPS][H * 8];
    // The ring, (STEPS * NT, THREADS), and then the sums, (WARPS, H * 8, ROW).
    extern __shared__ uint4 ring[];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, group = lane / 4, quad = lane % 4;
    const int chunks = (width + CHUNK - 1) / CHUNK, own = (chunks - warp + WARPS - 1) / WARPS;

    // Returns the row of weights of a tile's output, or -1.
    auto out_of = [&](int tile, int column) -> long {
        const bool up = THEN == GATE && tile >= NT / 2;
        const int out = blockIdx.x * OUTS + (up ? tile - NT / 2 : tile) * TILE_OUTS + column;
        return out < outs ? (up ? static_cast<long>(outs) + out : out) : -1L;
    };
    auto first_input = [&](int index) { return (warp + index * WARPS) * CHUNK + 8 * quad; };
    auto place_of = [&](int index, int tile) -> uint4 & {
        return ring[(index % STEPS * NT + tile) * THREADS + threadIdx.x];
    };
    auto fetch = [&](int index) {
        if (index < own)
#pragma unroll
            for (int t = 0; t < NT; t++) {
                const long columns[2] = {out_of(t, 2 * quad), out_of(t, 2 * quad + 1)};
                W::fetch(&place_of(index, t), weights, out_of(t, group), first_input(index), width, columns);
            }
        asm volatile("cp.async.commit_group;" ::: "memory");
    };

    let_next_start();
#pragma unroll
    for (int index = 0; index < STEPS; index++) fetch(index);
    wait_for_inputs();

    float acc[(H + 1) / 2][NT][4] = {};
    float squares[H] = {};
    X raw[U][H][8];
    auto take = [&](int first) {
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
            for (int h = 0; h < H; h++) {
                const int k = first_input(first + u), row = h * 8 + group;
                if (first + u < own && k < width && row < rows) load8(x + static_cast<size_t>(row) * width + k, raw[u][h]);
                else clear8(raw[u][h]);
            }
    };
    // If registers allow (without NORM), the next inputs load while these are multiplied.
    if (!NORM) take(0);
    for (int first = 0; first < own; first += U) {
        if (NORM) take(first);
        uint32_t a[U][H][4];
#pragma unroll
        for (int u = 0; u < U; u++) {
            float gain[8] = {};
            const int k = first_input(first + u);
            if (NORM && first + u < own && k < width) load8(gains + k, gain);
#pragma unroll
            for (int h = 0; h < H; h++) {
                if constexpr (NORM) {
#pragma unroll
                    for (int i = 0; i < 8; i++) squares[h] += raw[u][h][i] * raw[u][h][i], raw[u][h][i] *= gain[i];
                }
                pairs8(raw[u][h], a[u][h]);
            }
        }
        if (!NORM) take(first + U);
#pragma unroll
        for (int u = 0; u < U; u++) {
            if (first + u >= own) break;
            asm volatile("cp.async.wait_group %0;" ::"n"(STEPS - 1) : "memory");
#pragma unroll
            for (int t = 0; t < NT; t++) {
                const uint4 place = place_of(first + u, t);
                uint32_t b[4];
                W::pairs(place, b);
#pragma unroll
                for (int m = 0; m < (H + 1) / 2; m++) {
                    // If H is 1, a tile has no rows 8 to 15.
                    uint32_t low[4], high[4];
#pragma unroll
                    for (int i = 0; i < 4; i++) low[i] = a[u][2 * m][i], high[i] = H > 1 ? a[u][(2 * m + 1) % H][i] : 0;
                    if constexpr (W::SCALED) {
                        float part[4] = {};
                        multiply(part, low[0], high[0], low[1], high[1], b[0], b[1]);
                        multiply(part, low[2], high[2], low[3], high[3], b[2], b[3]);
                        const float2 scales = W::scales(place);
#pragma unroll
                        for (int i = 0; i < 4; i++) acc[m][t][i] += (i % 2 ? scales.y : scales.x) * part[i];
                    } else {
                        multiply(acc[m][t], low[0], high[0], low[1], high[1], b[0], b[1]);
                        multiply(acc[m][t], low[2], high[2], low[3], high[3], b[2], b[3]);
                    }
                }
            }
            fetch(first + u + STEPS);
        }
    }

    // The ring is no longer needed.
    asm volatile("cp.async.wait_all;" ::: "memory");
    __syncthreads();
    float *sums = reinterpret_cast<float *>(ring);
#pragma unroll
    for (int h = 0; h < H; h++) {
        const int row = h * 8 + group;
#pragma unroll
        for (int t = 0; t < NT; t++)
            *reinterpret_cast<float2 *>(&sums[(warp * H * 8 + row) * ROW + t * TILE_OUTS + 2 * quad]) =
                make_float2(acc[h / 2][t][2 * (h % 2)], acc[h / 2][t][2 * (h % 2) + 1]);
        if (NORM) {
            float sum = squares[h];
            sum += __shfl_xor_sync(~0u, sum, 1);
            sum += __shfl_xor_sync(~0u, sum, 2);
            if (quad == 0) squares_of[warp][row] = sum;
        }
    }
    __syncthreads();
    for (int index = threadIdx.x; index < rows * OUTS; index += THREADS) {
        const int row = index / OUTS, column = index % OUTS, out = blockIdx.x * OUTS + column;
        if (out >= outs) continue;
        float sum = 0.0f, up = 0.0f, squares_sum = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            const float *of = &sums[(w * H * 8 + row) * ROW + column];
            sum += of[0];
            if (THEN == GATE) up += of[OUTS];
            if (NORM) squares_sum += squares_of[w][row];
        }
        if (NORM) {
            const float factor = rsqrtf(squares_sum / width + eps);
            sum *= factor, up *= factor;
        }
        Y *to = y + static_cast<size_t>(row) * outs + out;
        if constexpr (THEN == ADD) *to += sum;
        else if constexpr (THEN == GATE) *to = static_cast<Y>(silu(sum) * up);
        else *to = sum;
    }
}

__device__ __forceinline__ float over_warp(float sum) {
#pragma unroll
    for (int off = WARP / 2; off > 0; off /= 2) sum += __shfl_xor_sync(~0u, sum, off);
    return sum;
}

// The same product in f32 throughout, a warp for each output: the slow reference for other formats.
template <bool NORM, Then THEN>
__device__ __forceinline__ void product_f32(const float *weights, const float *x, const float *gains, float eps, float *y,
                                            int rows, int width, int outs) {
    constexpr int AT_ONCE = 8;
    const int lane = threadIdx.x % WARP, out = blockIdx.x * WARPS + threadIdx.x / WARP;
    let_next_start();
    wait_for_inputs();
    if (out >= outs) return;
    const float *gate = weights + static_cast<size_t>(out) * width;
    for (int first = 0; first < rows; first += AT_ONCE) {
        float sums[AT_ONCE] = {}, ups[AT_ONCE] = {}, squares[AT_ONCE] = {};
        for (int k = 4 * lane; k < width; k += 4 * WARP) {
            float w[4], up[4] = {}, gain[4];
            load4(gate + k, w);
            if (THEN == GATE) load4(gate + static_cast<size_t>(outs) * width + k, up);
            if (NORM) load4(gains + k, gain);
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                if (first + i >= rows) continue;
                float v[4];
                load4(x + static_cast<size_t>(first + i) * width + k, v);
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    if (NORM) squares[i] += v[j] * v[j], v[j] *= gain[j];
                    sums[i] += v[j] * w[j];
                    if (THEN == GATE) ups[i] += v[j] * up[j];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (first + i >= rows) continue;
            float sum = over_warp(sums[i]), up = THEN == GATE ? over_warp(ups[i]) : 0.0f;
            if (NORM) {
                const float factor = rsqrtf(over_warp(squares[i]) / width + eps);
                sum *= factor, up *= factor;
            }
            if (lane != 0) continue;
            float *to = y + static_cast<size_t>(first + i) * outs + out;
            if (THEN == ADD) *to += sum;
            else *to = THEN == GATE ? silu(sum) * up : sum;
        }
    }
}

// Attention of one new position a row over the keys and values `(slots, kv_heads, capacity, dim)`
// of its slot. First the new key, rotated, and the new value are appended. `qkv (rows, (heads + 2 *
// kv_heads) * dim)`.
//
// A block takes one key head of a row, with the `G` query heads that share it. `DIMS` is at least
// `dim / 32`. Rows stand at `positions`, or all at `together` if `positions` is null. A row whose
// position is below 0 takes no part.
template <class T, int G, int DIMS>
__device__ __forceinline__ void attend(const float *qkv, const float *cosines, const float *sines, T *keys, T *values,
                                       T *mixed, const int *positions, int together, int kv_heads, int dim, int capacity) {
    // LANES threads share a key, 4 dimensions each at a time. A thread loads AT_ONCE keys or VALUES
    // values together.
    constexpr int LANES = 8, AT_ONCE = DIMS == 4 ? 1 : 4, VALUES = DIMS == 4 ? 2 : 4, KEYS = ATTEND_THREADS / LANES;
    extern __shared__ float shared[];
    const int head = blockIdx.x, row = blockIdx.y, heads = kv_heads * G, half = dim / 2;
    float *query = shared;                  // (G, dim)
    float *totals = query + G * dim;        // (G)
    float *fresh_key = totals + G;          // (dim), as it is kept
    float *fresh_value = fresh_key + dim;   // (dim)
    float *scores = fresh_value + dim;      // (G, capacity), and later the parts of the result, (slices, G, dim)
    let_next_start();
    wait_for_inputs();
    const int at = positions ? positions[row] : together;
    if (at < 0) return;
    qkv += static_cast<size_t>(row) * (heads + 2 * kv_heads) * dim;
    const size_t slot = (static_cast<size_t>(row) * kv_heads + head) * capacity * dim;
    keys += slot, values += slot;

    // Keys and values of earlier positions load while the new position is computed.
    const int part = threadIdx.x % LANES, own_key = threadIdx.x / LANES;
    float key[AT_ONCE][DIMS][4];
    auto load_keys = [&](int base) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
#pragma unroll
            for (int j = 0; j < DIMS; j++) {
                const int position = base + own_key + i * KEYS, d = 4 * (part + LANES * j);
                if (position < at && d < dim) load4(keys + static_cast<size_t>(position) * dim + d, key[i][j]);
            }
    };
    const int lanes = dim / 4, slices = ATTEND_THREADS / lanes;
    const int slice = threadIdx.x / lanes, own_dims = 4 * (threadIdx.x % lanes);
    float value[VALUES][4];
    auto load_values = [&](int base) {
#pragma unroll
        for (int i = 0; i < VALUES; i++) {
            const int position = base + slice + i * slices;
            if (slice < slices && position < at) load4(values + static_cast<size_t>(position) * dim + own_dims, value[i]);
        }
    };
    load_keys(0);
    load_values(0);

    for (int index = threadIdx.x; index < (G + 1) * half; index += ATTEND_THREADS) {
        const int which = index / half, d = index % half;
        const float *from = qkv + static_cast<size_t>(which < G ? head * G + which : heads + head) * dim;
        const float a = from[d], b = from[d + half], c = cosines[at * half + d], s = sines[at * half + d];
        const float low = a * c - b * s, high = b * c + a * s;
        if (which < G) {
            const float scale = rsqrtf(static_cast<float>(dim));
            query[which * dim + d] = low * scale, query[which * dim + d + half] = high * scale;
        } else {
            T *kept = keys + static_cast<size_t>(at) * dim;
            kept[d] = static_cast<T>(low), kept[d + half] = static_cast<T>(high);
            fresh_key[d] = static_cast<float>(static_cast<T>(low));
            fresh_key[d + half] = static_cast<float>(static_cast<T>(high));
        }
    }
    for (int d = threadIdx.x; d < dim; d += ATTEND_THREADS) {
        const T kept = static_cast<T>(qkv[static_cast<size_t>(heads + kv_heads + head) * dim + d]);
        values[static_cast<size_t>(at) * dim + d] = kept;
        fresh_value[d] = static_cast<float>(kept);
    }
    __syncthreads();

    // All lanes of a warp run the same rounds, because they exchange sums.
    for (int base = 0; base <= at; base += AT_ONCE * KEYS) {
        if (base > 0) load_keys(base);
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (base + i * KEYS > at) break;
            const int position = base + own_key + i * KEYS;
            float sum[G] = {};
#pragma unroll
            for (int j = 0; j < DIMS; j++) {
                const int d = 4 * (part + LANES * j);
                if (d >= dim || position > at) continue;
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    const float of = position == at ? fresh_key[d + k] : key[i][j][k];
#pragma unroll
                    for (int g = 0; g < G; g++) sum[g] += query[g * dim + d + k] * of;
                }
            }
#pragma unroll
            for (int g = 0; g < G; g++) {
#pragma unroll
                for (int off = LANES / 2; off > 0; off /= 2) sum[g] += __shfl_xor_sync(~0u, sum[g], off);
                if (part == 0 && position <= at) scores[g * capacity + position] = sum[g];
            }
        }
    }
    __syncthreads();

    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    if (warp < G) {
        float *own = scores + warp * capacity, top = -INFINITY, total = 0.0f;
        for (int position = lane; position <= at; position += WARP) top = fmaxf(top, own[position]);
#pragma unroll
        for (int off = WARP / 2; off > 0; off /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, off));
        for (int position = lane; position <= at; position += WARP) {
            const float weight = expf(own[position] - top);
            own[position] = weight, total += weight;
        }
        total = over_warp(total);
        if (lane == 0) totals[warp] = total;
    }
    __syncthreads();

    float sum[G][4] = {};
    for (int base = 0; base <= at; base += VALUES * slices) {
        if (base > 0) load_values(base);
#pragma unroll
        for (int i = 0; i < VALUES; i++) {
            const int position = base + slice + i * slices;
            if (slice >= slices || position > at) continue;
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const float of = position == at ? fresh_value[own_dims + k] : value[i][k];
#pragma unroll
                for (int g = 0; g < G; g++) sum[g][k] += scores[g * capacity + position] * of;
            }
        }
    }
    __syncthreads();
    const int used = min(slices, at + 1);
    if (slice < used)
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int k = 0; k < 4; k++) scores[(slice * G + g) * dim + own_dims + k] = sum[g][k];
    __syncthreads();
    for (int index = threadIdx.x; index < G * dim; index += ATTEND_THREADS) {
        float all = 0.0f;
#pragma unroll 8
        for (int i = 0; i < used; i++) all += scores[i * G * dim + index];
        const int g = index / dim;
        mixed[(static_cast<size_t>(row) * heads + head * G + g) * dim + index % dim] = static_cast<T>(all / totals[g]);
    }
}

// Writes the residual stream of a frame that is read: the sum of its 32 codes' rows. A block takes
// 256 inputs of a row.
template <class T>
__device__ __forceinline__ void embed(const T *table, const uint32_t *codes, const int *positions, float *x, int hidden,
                                      int vocab) {
    const int row = blockIdx.y, d = blockIdx.x * THREADS + threadIdx.x;
    let_next_start();
    wait_for_inputs();
    if (d >= hidden) return;
    float sum = 0.0f;
    if (positions[row] >= 0)
#pragma unroll
        for (int codebook = 0; codebook < CODEBOOKS; codebook++) {
            const size_t entry = static_cast<size_t>(codebook) * vocab + codes[row * CODEBOOKS + codebook];
            sum += static_cast<float>(table[entry * hidden + d]);
        }
    x[static_cast<size_t>(row) * hidden + d] = sum;
}

// Writes the state after the last layer, RMS-normed, of the rows that take part.
template <class T>
__device__ __forceinline__ void settle(const float *x, const float *gains, float eps, const int *positions, T *state,
                                       int hidden) {
    __shared__ float sums[WARPS];
    const int row = blockIdx.x;
    let_next_start();
    wait_for_inputs();
    if (positions[row] < 0) return;
    x += static_cast<size_t>(row) * hidden;
    float squares = 0.0f;
    for (int d = threadIdx.x; d < hidden; d += THREADS) squares += x[d] * x[d];
    squares = over_warp(squares);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = squares;
    __syncthreads();
    float all = 0.0f;
    for (int w = 0; w < WARPS; w++) all += sums[w];
    const float factor = rsqrtf(all / hidden + eps);
    for (int d = threadIdx.x; d < hidden; d += THREADS)
        state[static_cast<size_t>(row) * hidden + d] = static_cast<T>(x[d] * gains[d] * factor);
}

// Draw settings of a row, made by the host.
struct Draw {
    uint32_t seed_low, seed_high, frame;
    float temperature;
    uint32_t topk, speaks;
};

// Computes Philox 4x32-10 of the counter (group, codebook, frame, 0), as model/sampler.rs does.
__device__ void philox(uint32_t (&counter)[4], uint32_t low, uint32_t high) {
    for (int round = 0; round < 10; round++) {
        if (round > 0) low += 0x9E3779B9u, high += 0xBB67AE85u;
        const uint32_t first_low = 0xD2511F53u * counter[0], first_high = __umulhi(0xD2511F53u, counter[0]);
        const uint32_t second_low = 0xCD9E8D57u * counter[2], second_high = __umulhi(0xCD9E8D57u, counter[2]);
        counter[0] = second_high ^ counter[1] ^ low;
        counter[1] = second_low;
        counter[2] = first_high ^ counter[3] ^ high;
        counter[3] = first_low;
    }
}

__device__ double gumbel(const Draw &draw, int codebook, int code) {
    uint32_t words[4] = {static_cast<uint32_t>(code) / 4, static_cast<uint32_t>(codebook), draw.frame, 0};
    philox(words, draw.seed_low, draw.seed_high);
    const uint32_t bits = code % 4 == 0 ? words[0] : code % 4 == 1 ? words[1] : code % 4 == 2 ? words[2] : words[3];
    return -log(-log((static_cast<double>(bits) + 0.5) / 4294967296.0));
}

// Returns a float's bits as an unsigned number of the same order; both zeros give one number.
__device__ __forceinline__ uint32_t ordered(float x) {
    const uint32_t bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// Draws a code a row from `logits (rows, vocab)` by the rules of model/sampler.rs; only the first
// `codes` may be drawn. Writes the code to `frames (rows, 33)`. The last entry of a frame is 1 +
// the first codebook with broken logits, or 0. Unless `table` is null, the residual stream `x
// (rows, hidden)` becomes the code's row of `table (vocab, hidden)`.
template <class T>
__device__ __forceinline__ void sample(const float *logits, const Draw *draws, uint32_t *frames, const T *table, float *x,
                                       int codebook, int codes, int vocab, int hidden) {
    constexpr int BINS = 256, BINS_A_LANE = BINS / WARP, SAMPLE_WARPS = SAMPLE_THREADS / WARP;
    constexpr int MOST = CODES_MAX / SAMPLE_THREADS;
    __shared__ uint32_t bins[BINS];
    __shared__ uint32_t least_shared, left_shared;
    __shared__ double best_scores[SAMPLE_WARPS];
    __shared__ int best_codes[SAMPLE_WARPS];
    const int row = blockIdx.x, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    let_next_start();
    wait_for_inputs();
    const Draw draw = draws[row];
    logits += static_cast<size_t>(row) * vocab;
    uint32_t *frame = frames + row * (CODEBOOKS + 1);
    int drawn = 0;
    if (draw.speaks) {
        // Keys of a thread's own codes, in the order of the logits' values; 0 is below every
        // number.
        float logit[MOST];
        uint32_t key[MOST];
        bool odd = false;
#pragma unroll
        for (int i = 0; i < MOST; i++) {
            const int code = threadIdx.x + i * SAMPLE_THREADS;
            logit[i] = code < codes ? logits[code] : -INFINITY;
            odd |= isnan(logit[i]);
            key[i] = code < codes ? ordered(logit[i]) : 0;
        }
        odd = __syncthreads_or(odd);

        // Find the topk-th largest key, or a bound that admits the same codes, eight bits at a time
        // from the top.
        uint32_t least = 1, left = min(max(draw.topk, 1u), static_cast<uint32_t>(codes));
        const bool greedy = draw.temperature == 0.0f;
        for (int shift = 24; !greedy && left > 0 && shift >= 0; shift -= 8) {
            if (threadIdx.x < BINS) bins[threadIdx.x] = 0;
            __syncthreads();
#pragma unroll
            for (int i = 0; i < MOST; i++) {
                const bool counts = key[i] > 0 && (shift == 24 || key[i] >> (shift + 8) == least >> (shift + 8));
                // Logits lie close together, so a warp adds keys of the same bin at once.
                const uint32_t bin = counts ? (key[i] >> shift) % BINS : BINS;
                const uint32_t same = __match_any_sync(~0u, bin);
                if (counts && lane == __ffs(same) - 1) atomicAdd(&bins[bin], __popc(same));
            }
            __syncthreads();
            if (warp == 0) {
                // Lane 0 has the highest bins.
                uint32_t counts[BINS_A_LANE], own = 0;
                const int top = BINS - 1 - lane * BINS_A_LANE;
#pragma unroll
                for (int i = 0; i < BINS_A_LANE; i++) counts[i] = bins[top - i], own += counts[i];
                uint32_t before = own;
#pragma unroll
                for (int off = 1; off < WARP; off *= 2) {
                    const uint32_t other = __shfl_up_sync(~0u, before, off);
                    if (lane >= off) before += other;
                }
                before -= own;
#pragma unroll
                for (int i = 0; i < BINS_A_LANE; i++) {
                    if (before < left && before + counts[i] >= left) {
                        const uint32_t above = shift == 24 ? 0 : least >> (shift + 8) << (shift + 8);
                        least_shared = above | static_cast<uint32_t>(top - i) << shift;
                        // A bin that is admitted as a whole needs no further rounds.
                        left_shared = before + counts[i] == left ? 0 : left - before;
                    }
                    before += counts[i];
                }
            }
            __syncthreads();
            least = least_shared, left = left_shared;
        }

        // Take the largest score, the first of equals.
        double best = -INFINITY;
        int best_code = 0;
        auto consider = [&](double score, int code) {
            if (score > best || (score == best && code < best_code)) best = score, best_code = code;
        };
        auto over_lanes = [&]() {
#pragma unroll
            for (int off = WARP / 2; off > 0; off /= 2) {
                const double other = __shfl_xor_sync(~0u, best, off);
                consider(other, __shfl_xor_sync(~0u, best_code, off));
            }
        };
#pragma unroll
        for (int i = 0; i < MOST; i++) {
            if (key[i] < max(least, 1u)) continue;
            const int code = threadIdx.x + i * SAMPLE_THREADS;
            consider(greedy ? logit[i] : logit[i] / static_cast<double>(draw.temperature) + gumbel(draw, codebook, code), code);
        }
        over_lanes();
        if (lane == 0) best_scores[warp] = best, best_codes[warp] = best_code;
        __syncthreads();
        best = lane < SAMPLE_WARPS ? best_scores[lane] : -INFINITY, best_code = lane < SAMPLE_WARPS ? best_codes[lane] : 0;
        over_lanes();
        drawn = best_code;
        odd |= best == -INFINITY;
        if (threadIdx.x == 0) {
            frame[codebook] = drawn;
            if (codebook == 0) frame[CODEBOOKS] = odd;
            else if (odd && frame[CODEBOOKS] == 0) frame[CODEBOOKS] = codebook + 1;
        }
    }
    if (table)
        for (int d = threadIdx.x; d < hidden; d += SAMPLE_THREADS)
            x[static_cast<size_t>(row) * hidden + d] =
                draw.speaks ? static_cast<float>(table[static_cast<size_t>(drawn) * hidden + d]) : 0.0f;
}

}  // namespace

// Names of kernels: product, weights, eights of rows, tiles of outputs.
#define PRODUCT(NAME, W, X, H, NT, NORM, THEN, Y)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                   \
        NAME(const void *weights, const X *x, const float *gains, float eps, Y *y, int rows, int width, int outs) {        \
        product<W, X, H, NT, NORM, THEN>(weights, x, gains, eps, y, rows, width, outs);                                    \
    }
#define PRODUCTS(NAME, W, T, H)                                                                                             \
    PRODUCT(normed_##NAME##_##H##_1, W, float, H, 1, true, STORE, float)                                                  \
    PRODUCT(normed_##NAME##_##H##_2, W, float, H, 2, true, STORE, float)                                                  \
    PRODUCT(gated_##NAME##_##H##_8, W, float, H, 8, true, GATE, T)                                                        \
    PRODUCT(plain_##NAME##_##H##_1, W, T, H, 1, false, STORE, float)                                                      \
    PRODUCT(plain_##NAME##_##H##_2, W, T, H, 2, false, STORE, float)                                                      \
    PRODUCT(added_##NAME##_##H##_1, W, T, H, 1, false, ADD, float)                                                        \
    PRODUCT(added_##NAME##_##H##_2, W, T, H, 2, false, ADD, float)
PRODUCTS(bf16, Bf16, __nv_bfloat16, 1)
PRODUCTS(bf16, Bf16, __nv_bfloat16, 2)
PRODUCTS(bf16, Bf16, __nv_bfloat16, 4)
PRODUCTS(q8_0, Q8, float, 1)
PRODUCTS(q8_0, Q8, float, 2)
PRODUCTS(q8_0, Q8, float, 4)

#define PRODUCT_F32(NAME, NORM, THEN)                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                   \
        NAME##_f32(const float *weights, const float *x, const float *gains, float eps, float *y, int rows, int width,      \
                   int outs) {                                                                                              \
        product_f32<NORM, THEN>(weights, x, gains, eps, y, rows, width, outs);                                              \
    }
PRODUCT_F32(normed, true, STORE)
PRODUCT_F32(gated, true, GATE)
PRODUCT_F32(plain, false, STORE)
PRODUCT_F32(added, false, ADD)

#define ATTEND(T, NAME, G, DIMS)                                                                                            \
    extern "C" __global__ void __launch_bounds__(ATTEND_THREADS)                                                            \
        attend_##NAME##_##G##_##DIMS(const float *qkv, const float *cosines, const float *sines, T *keys, T *values,        \
                                     T *mixed, const int *positions, int together, int kv_heads, int dim, int capacity) {  \
        attend<T, G, DIMS>(qkv, cosines, sines, keys, values, mixed, positions, together, kv_heads, dim, capacity);         \
    }
#define ATTENDS(T, NAME, G) ATTEND(T, NAME, G, 1) ATTEND(T, NAME, G, 2) ATTEND(T, NAME, G, 4)
#define OF_TYPE(T, NAME)                                                                                                    \
    ATTENDS(T, NAME, 1)                                                                                                     \
    ATTENDS(T, NAME, 2)                                                                                                     \
    ATTENDS(T, NAME, 4)                                                                                                     \
    extern "C" __global__ void __launch_bounds__(THREADS) embed_##NAME(                                                     \
        const T *table, const uint32_t *codes, const int *positions, float *x, int hidden, int vocab) {                    \
        embed<T>(table, codes, positions, x, hidden, vocab);                                                                \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(THREADS) settle_##NAME(                                                    \
        const float *x, const float *gains, float eps, const int *positions, T *state, int hidden) {                        \
        settle<T>(x, gains, eps, positions, state, hidden);                                                                 \
    }                                                                                                                       \
    extern "C" __global__ void __launch_bounds__(SAMPLE_THREADS)                                                            \
        sample_##NAME(const float *logits, const Draw *draws, uint32_t *frames, const T *table, float *x, int codebook,     \
                      int codes, int vocab, int hidden) {                                                                   \
        sample<T>(logits, draws, frames, table, x, codebook, codes, vocab, hidden);                                         \
    }
OF_TYPE(float, f32)
OF_TYPE(__nv_bfloat16, bf16)
