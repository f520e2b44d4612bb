// The kernels of one frame: both transformers for all slots at once, and the drawing of codes.
//
// Rows are slots. What a row comes to depends on that row alone, bit for bit: every sum runs in an order that the widths
// decide, and rows are columns of the same matrix instructions. Kernels follow each other in one stream; from compute
// capability 9.0 on the next one starts early, fetches its first weights, and waits for its inputs (`wait_for_inputs`),
// which every thread must do before it touches anything that another kernel writes.
//
// Weights `(outs, width)` are bf16, f32, or ggml's Q8_0 (blocks of 32: an f16 scale, 32 signed bytes). Widths are multiples
// of 8. The residual stream, logits, cosines, sines and gains are f32; `T` is what the keys, the values and the inputs of
// plain products are held in.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

namespace {

constexpr int WARP = 32;
constexpr int WARPS = 8;
// Threads of a product.
constexpr int THREADS = WARPS * WARP;
// Inputs that a warp multiplies at once, 8 a thread; as long as a block of Q8_0.
constexpr int CHUNK = 32;
constexpr int Q8_BYTES = 34;
// Rows and outputs of a matrix instruction.
constexpr int TILE_ROWS = 16;
constexpr int TILE_OUTS = 8;
// Loads of weights that a thread keeps going at once.
constexpr int IN_FLIGHT = 8;

constexpr int CODEBOOKS = 32;
constexpr int ATTEND_THREADS = 512;
constexpr int SAMPLE_THREADS = 1024;

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

// Eight inputs of a row as four pairs of bf16.
__device__ __forceinline__ void pairs8(const float *from, uint32_t (&to)[4]) {
    float x[8];
    load8(from, x);
#pragma unroll
    for (int i = 0; i < 4; i++) to[i] = pair(x[2 * i], x[2 * i + 1]);
}

__device__ __forceinline__ void pairs8(const __nv_bfloat16 *from, uint32_t (&to)[4]) {
    uint4 raw = *reinterpret_cast<const uint4 *>(from);
    to[0] = raw.x, to[1] = raw.y, to[2] = raw.z, to[3] = raw.w;
}

__device__ __forceinline__ float silu(float x) { return x / (1.0f + expf(-x)); }

// What a product does with its sums.
enum Then { STORE, ADD, GATE };

struct Bf16 {
    static constexpr bool SCALED = false;
    struct Eight {
        uint4 bits;
    };
    __device__ static Eight none() { return {make_uint4(0, 0, 0, 0)}; }
    __device__ static Eight load(const void *weights, size_t out, int k, int width) {
        const __nv_bfloat16 *at = static_cast<const __nv_bfloat16 *>(weights) + out * width + k;
        uint4 v;
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                     : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                     : "l"(at));
        return {v};
    }
    __device__ static void pairs(const Eight &eight, uint32_t (&to)[4]) {
        to[0] = eight.bits.x, to[1] = eight.bits.y, to[2] = eight.bits.z, to[3] = eight.bits.w;
    }
    __device__ static float scale(const void *, size_t, int, int) { return 1.0f; }
};

struct Q8 {
    static constexpr bool SCALED = true;
    struct Eight {
        uint16_t bits[4];
    };
    __device__ static Eight none() { return {{0, 0, 0, 0}}; }
    __device__ static const char *block(const void *weights, size_t out, int k, int width) {
        return static_cast<const char *>(weights) + (out * ((width + CHUNK - 1) / CHUNK) + k / CHUNK) * Q8_BYTES;
    }
    __device__ static Eight load(const void *weights, size_t out, int k, int width) {
        const uint16_t *at = reinterpret_cast<const uint16_t *>(block(weights, out, k, width) + 2 + k % CHUNK);
        return {{__ldg(at), __ldg(at + 1), __ldg(at + 2), __ldg(at + 3)}};
    }
    // Every signed byte is a bf16.
    __device__ static void pairs(const Eight &eight, uint32_t (&to)[4]) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[i] = pair(static_cast<float>(static_cast<int8_t>(eight.bits[i] & 0xFF)),
                         static_cast<float>(static_cast<int8_t>(eight.bits[i] >> 8)));
    }
    __device__ static float scale(const void *weights, size_t out, int k, int width) {
        return __half2float(__ldg(reinterpret_cast<const __half *>(block(weights, out, k, width))));
    }
};

// y (rows, outs) from x (rows, width), both dense, by matrix instructions.
//
// A block makes `NT` tiles of outputs for all rows; its warps share the width and their sums are added in order. A thread
// takes 8 inputs in a row at once, of weights and of x, and spreads them over two instructions, so the order within a
// chunk is a permutation, the same for both. With `NORM`, x is RMS-normed on the way: gains before, and the row's factor,
// whose sum of squares is gathered meanwhile, after. `GATE` has twice as many rows of weights, gates first.
template <class W, class X, int MT, int NT, bool NORM, Then THEN, class Y>
__device__ __forceinline__ void product(const void *weights, const X *x, const float *gains, float eps, Y *y, int rows,
                                        int width, int outs) {
    constexpr int U = IN_FLIGHT / NT;
    constexpr int OUTS = (THEN == GATE ? NT / 2 : NT) * TILE_OUTS;
    __shared__ float sums[WARPS][MT * TILE_ROWS][NT * TILE_OUTS];
    __shared__ float squares_of[WARPS][MT * TILE_ROWS];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, group = lane / 4, quad = lane % 4;
    const int chunks = (width + CHUNK - 1) / CHUNK, stride = WARPS * U;

    // The row of weights behind a tile's output, and whether there is one.
    auto out_of = [&](int tile, int column) -> long {
        const bool up = THEN == GATE && tile >= NT / 2;
        const int out = blockIdx.x * OUTS + (up ? tile - NT / 2 : tile) * TILE_OUTS + column;
        return out < outs ? (up ? static_cast<long>(outs) + out : out) : -1L;
    };
    typename W::Eight next[U][NT];
    float next_scales[U][NT][2];
    auto fetch = [&](int chunk) {
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
            for (int t = 0; t < NT; t++) {
                const int k = (chunk + u) * CHUNK + 8 * quad;
                const long out = out_of(t, group);
                next[u][t] = out >= 0 && k < width ? W::load(weights, out, k, width) : W::none();
                if (W::SCALED)
#pragma unroll
                    for (int side = 0; side < 2; side++) {
                        const long column = out_of(t, 2 * quad + side);
                        const bool there = column >= 0 && chunk + u < chunks;
                        next_scales[u][t][side] =
                            there ? W::scale(weights, column, (chunk + u) * CHUNK, width) : 0.0f;
                    }
            }
    };

    let_next_start();
    if (warp * U < chunks) fetch(warp * U);
    wait_for_inputs();

    float acc[MT][NT][4] = {};
    float squares[MT][2] = {};
    for (int chunk = warp * U; chunk < chunks; chunk += stride) {
        typename W::Eight now[U][NT];
        float scales[U][NT][2];
#pragma unroll
        for (int u = 0; u < U; u++)
#pragma unroll
            for (int t = 0; t < NT; t++) {
                now[u][t] = next[u][t];
                scales[u][t][0] = next_scales[u][t][0];
                scales[u][t][1] = next_scales[u][t][1];
            }
        if (chunk + stride < chunks) fetch(chunk + stride);
#pragma unroll
        for (int u = 0; u < U; u++) {
            const int k = (chunk + u) * CHUNK + 8 * quad;
            uint32_t a[MT][2][4] = {};
            if (k < width) {
                float gain[8];
                if (NORM) load8(gains + k, gain);
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        const int row = m * TILE_ROWS + half * 8 + group;
                        if (row >= rows) continue;
                        const X *from = x + static_cast<size_t>(row) * width + k;
                        if constexpr (NORM) {
                            float v[8];
                            load8(from, v);
#pragma unroll
                            for (int i = 0; i < 8; i++) squares[m][half] += v[i] * v[i];
#pragma unroll
                            for (int i = 0; i < 4; i++)
                                a[m][half][i] = pair(v[2 * i] * gain[2 * i], v[2 * i + 1] * gain[2 * i + 1]);
                        } else {
                            pairs8(from, a[m][half]);
                        }
                    }
            }
#pragma unroll
            for (int t = 0; t < NT; t++) {
                uint32_t b[4];
                W::pairs(now[u][t], b);
#pragma unroll
                for (int m = 0; m < MT; m++) {
                    if constexpr (W::SCALED) {
                        float part[4] = {};
                        multiply(part, a[m][0][0], a[m][1][0], a[m][0][1], a[m][1][1], b[0], b[1]);
                        multiply(part, a[m][0][2], a[m][1][2], a[m][0][3], a[m][1][3], b[2], b[3]);
#pragma unroll
                        for (int i = 0; i < 4; i++) acc[m][t][i] += scales[u][t][i % 2] * part[i];
                    } else {
                        multiply(acc[m][t], a[m][0][0], a[m][1][0], a[m][0][1], a[m][1][1], b[0], b[1]);
                        multiply(acc[m][t], a[m][0][2], a[m][1][2], a[m][0][3], a[m][1][3], b[2], b[3]);
                    }
                }
            }
        }
    }

#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = m * TILE_ROWS + half * 8 + group;
#pragma unroll
            for (int t = 0; t < NT; t++)
#pragma unroll
                for (int side = 0; side < 2; side++)
                    sums[warp][row][t * TILE_OUTS + 2 * quad + side] = acc[m][t][2 * half + side];
            if (NORM) {
                float sum = squares[m][half];
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
            sum += sums[w][row][column];
            if (THEN == GATE) up += sums[w][row][column + OUTS];
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

// The same in f32 throughout, a warp for each output: what other formats are held against, not fast.
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

// Attention of one new position a row over the keys and values `(slots, kv_heads, capacity, dim)` of its slot; the new ones
// are rotated and appended first. `qkv (rows, (heads + 2 * kv_heads) * dim)`; a block takes one row's key head with the `G`
// query heads that share it. Rows stand at `positions`, or all at `together`; below 0 a row takes no part.
template <class T, int G>
__device__ __forceinline__ void attend(const float *qkv, const float *cosines, const float *sines, T *keys, T *values,
                                       T *mixed, const int *positions, int together, int kv_heads, int dim, int capacity) {
    extern __shared__ float shared[];
    const int head = blockIdx.x, row = blockIdx.y, heads = kv_heads * G, half = dim / 2;
    float *query = shared;                // (G, dim)
    float *totals = query + G * dim;      // (G)
    float *scores = totals + G;           // (G, capacity), and later the parts of the result, (slices, G, dim)
    let_next_start();
    wait_for_inputs();
    const int at = positions ? positions[row] : together;
    if (at < 0) return;
    qkv += static_cast<size_t>(row) * (heads + 2 * kv_heads) * dim;
    const size_t slot = (static_cast<size_t>(row) * kv_heads + head) * capacity * dim;
    keys += slot, values += slot;

    for (int index = threadIdx.x; index < (G + 1) * half; index += ATTEND_THREADS) {
        const int which = index / half, d = index % half;
        const float *from = qkv + static_cast<size_t>(which < G ? head * G + which : heads + head) * dim;
        const float a = from[d], b = from[d + half], c = cosines[at * half + d], s = sines[at * half + d];
        const float low = a * c - b * s, high = b * c + a * s;
        if (which < G) {
            const float scale = rsqrtf(static_cast<float>(dim));
            query[which * dim + d] = low * scale, query[which * dim + d + half] = high * scale;
        } else {
            T *key = keys + static_cast<size_t>(at) * dim;
            key[d] = static_cast<T>(low), key[d + half] = static_cast<T>(high);
        }
    }
    for (int d = threadIdx.x; d < dim; d += ATTEND_THREADS)
        values[static_cast<size_t>(at) * dim + d] =
            static_cast<T>(qkv[static_cast<size_t>(heads + kv_heads + head) * dim + d]);
    __syncthreads();

    for (int position = threadIdx.x; position <= at; position += ATTEND_THREADS) {
        const T *key = keys + static_cast<size_t>(position) * dim;
        float sum[G] = {};
#pragma unroll 4
        for (int d = 0; d < dim; d += 4) {
            float k[4];
            load4(key + d, k);
#pragma unroll
            for (int g = 0; g < G; g++)
#pragma unroll
                for (int i = 0; i < 4; i++) sum[g] += query[g * dim + d + i] * k[i];
        }
#pragma unroll
        for (int g = 0; g < G; g++) scores[g * capacity + position] = sum[g];
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

    const int lanes = dim / 4, slices = ATTEND_THREADS / lanes;
    const int slice = threadIdx.x / lanes, d = 4 * (threadIdx.x % lanes);
    float sum[G][4] = {};
    if (slice < slices) {
#pragma unroll 4
        for (int position = slice; position <= at; position += slices) {
            float v[4];
            load4(values + static_cast<size_t>(position) * dim + d, v);
#pragma unroll
            for (int g = 0; g < G; g++)
#pragma unroll
                for (int i = 0; i < 4; i++) sum[g][i] += scores[g * capacity + position] * v[i];
        }
    }
    __syncthreads();
    const int used = min(slices, at + 1);
    if (slice < used)
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int i = 0; i < 4; i++) scores[(slice * G + g) * dim + d + i] = sum[g][i];
    __syncthreads();
    for (int index = threadIdx.x; index < G * dim; index += ATTEND_THREADS) {
        float all = 0.0f;
        for (int part = 0; part < used; part++) all += scores[part * G * dim + index];
        const int g = index / dim;
        mixed[(static_cast<size_t>(row) * heads + head * G + g) * dim + index % dim] = static_cast<T>(all / totals[g]);
    }
}

// The residual stream of a frame that is read: the sum of its 32 codes' rows. A block takes 256 of a row's inputs.
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

// The state behind the last layer, RMS-normed, of the rows that took part.
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

// How a row's codes are drawn; made by the host.
struct Draw {
    uint32_t seed_low, seed_high, frame;
    float temperature;
    uint32_t topk, speaks;
};

// Philox 4x32-10 of the counter (group, codebook, frame, 0), as model/sampler.rs has it.
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

// A float's bits as an unsigned number of the same order.
__device__ __forceinline__ uint32_t ordered(float x) {
    const uint32_t bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// Draws a code a row from `logits (rows, vocab)`, of which the first `codes` may be drawn, as model/sampler.rs says. Writes
// it to `frames (rows, 33)`, whose last entry is 1 + the first codebook with a logit that is no number, or 0. Unless
// `table` is null, the residual stream `x (rows, hidden)` becomes the code's row of `table (vocab, hidden)`.
template <class T>
__device__ __forceinline__ void sample(const float *logits, const Draw *draws, uint32_t *frames, const T *table, float *x,
                                       int codebook, int codes, int vocab, int hidden) {
    constexpr int BINS = 256, BINS_A_LANE = BINS / WARP, SAMPLE_WARPS = SAMPLE_THREADS / WARP;
    __shared__ uint32_t bins[BINS];
    __shared__ uint32_t prefix_shared, left_shared;
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
        bool odd = false;
        for (int code = threadIdx.x; code < codes; code += SAMPLE_THREADS) odd |= isnan(logits[code]);
        odd = __syncthreads_or(odd);

        // The topk-th largest, eight bits at a time from the top.
        uint32_t prefix = 0, left = min(max(draw.topk, 1u), static_cast<uint32_t>(codes));
        const bool greedy = draw.temperature == 0.0f;
        for (int shift = 24; !greedy && shift >= 0; shift -= 8) {
            if (threadIdx.x < BINS) bins[threadIdx.x] = 0;
            __syncthreads();
            for (int code = threadIdx.x; code < codes; code += SAMPLE_THREADS) {
                const uint32_t key = ordered(logits[code]);
                if (shift == 24 || key >> (shift + 8) == prefix >> (shift + 8))
                    atomicAdd(&bins[(key >> shift) % BINS], 1);
            }
            __syncthreads();
            if (warp == 0) {
                // Lane 0 has the highest bins.
                uint32_t own = 0;
                const int top = BINS - 1 - lane * BINS_A_LANE;
#pragma unroll
                for (int i = 0; i < BINS_A_LANE; i++) own += bins[top - i];
                uint32_t before = own;
#pragma unroll
                for (int off = 1; off < WARP; off *= 2) {
                    const uint32_t other = __shfl_up_sync(~0u, before, off);
                    if (lane >= off) before += other;
                }
                before -= own;
                if (before < left && before + own >= left) {
                    int bin = top;
                    while (before + bins[bin] < left) before += bins[bin], bin--;
                    prefix_shared = prefix | static_cast<uint32_t>(bin) << shift;
                    left_shared = left - before;
                }
            }
            __syncthreads();
            prefix = prefix_shared, left = left_shared;
        }
        const uint32_t bits = prefix & 0x80000000u ? prefix & 0x7FFFFFFFu : ~prefix;
        const float least = greedy ? -INFINITY : __uint_as_float(bits);

        double best = -INFINITY;
        int best_code = 0;
        for (int code = threadIdx.x; code < codes; code += SAMPLE_THREADS) {
            if (logits[code] < least) continue;
            const double logit = logits[code];
            const double score = greedy ? logit : logit / draw.temperature + gumbel(draw, codebook, code);
            if (score > best) best = score, best_code = code;
        }
        // The largest, the first of equals.
        auto better = [](double a, int a_code, double b, int b_code) { return b > a || (b == a && b_code < a_code); };
#pragma unroll
        for (int off = WARP / 2; off > 0; off /= 2) {
            const double other = __shfl_xor_sync(~0u, best, off);
            const int other_code = __shfl_xor_sync(~0u, best_code, off);
            if (better(best, best_code, other, other_code)) best = other, best_code = other_code;
        }
        if (lane == 0) best_scores[warp] = best, best_codes[warp] = best_code;
        __syncthreads();
        best = best_scores[0], drawn = best_codes[0];
        for (int w = 1; w < SAMPLE_WARPS; w++)
            if (better(best, drawn, best_scores[w], best_codes[w])) best = best_scores[w], drawn = best_codes[w];
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

// Names: what, weights, then tiles of 16 rows and tiles of 8 outputs.
#define PRODUCT(NAME, W, X, MT, NT, NORM, THEN, Y)                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                   \
        NAME(const void *weights, const X *x, const float *gains, float eps, Y *y, int rows, int width, int outs) {        \
        product<W, X, MT, NT, NORM, THEN>(weights, x, gains, eps, y, rows, width, outs);                                    \
    }
#define PRODUCTS(NAME, W, T, MT)                                                                                            \
    PRODUCT(normed_##NAME##_##MT##_1, W, float, MT, 1, true, STORE, float)                                                  \
    PRODUCT(normed_##NAME##_##MT##_2, W, float, MT, 2, true, STORE, float)                                                  \
    PRODUCT(gated_##NAME##_##MT##_4, W, float, MT, 4, true, GATE, T)                                                        \
    PRODUCT(plain_##NAME##_##MT##_1, W, T, MT, 1, false, STORE, float)                                                      \
    PRODUCT(plain_##NAME##_##MT##_2, W, T, MT, 2, false, STORE, float)                                                      \
    PRODUCT(added_##NAME##_##MT##_1, W, T, MT, 1, false, ADD, float)                                                        \
    PRODUCT(added_##NAME##_##MT##_2, W, T, MT, 2, false, ADD, float)
PRODUCTS(bf16, Bf16, __nv_bfloat16, 1)
PRODUCTS(bf16, Bf16, __nv_bfloat16, 2)
PRODUCTS(q8_0, Q8, float, 1)
PRODUCTS(q8_0, Q8, float, 2)

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

#define ATTEND(T, NAME, G)                                                                                                  \
    extern "C" __global__ void __launch_bounds__(ATTEND_THREADS)                                                            \
        attend_##NAME##_##G(const float *qkv, const float *cosines, const float *sines, T *keys, T *values, T *mixed,       \
                            const int *positions, int together, int kv_heads, int dim, int capacity) {                     \
        attend<T, G>(qkv, cosines, sines, keys, values, mixed, positions, together, kv_heads, dim, capacity);               \
    }
#define OF_TYPE(T, NAME)                                                                                                    \
    ATTEND(T, NAME, 1)                                                                                                      \
    ATTEND(T, NAME, 2)                                                                                                      \
    ATTEND(T, NAME, 4)                                                                                                      \
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
