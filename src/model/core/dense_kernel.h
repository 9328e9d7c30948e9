/*
 * Dense networks for one instruction set and one kind of number. Included twice by each
 * kernels_<isa>.c, which says what TARGET, NAME and VECTOR_BYTES are, and here REAL, UINT, SUFFIX,
 * and the constants of exp.
 *
 * Sums run over the inputs in order, one product and one sum at a time, whether rows or neurons are
 * side by side: one row and many give the same bits.
 */
#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define D(name) PASTE(name, SUFFIX)

typedef REAL D(vreal) __attribute__((vector_size(VECTOR_BYTES)));
typedef UINT D(vuint) __attribute__((vector_size(VECTOR_BYTES)));

enum {
    D(WIDTH) = VECTOR_BYTES / sizeof(REAL),
    D(BLOCK) = 4,                                    /* vectors of rows that are summed together */
    D(SIDE) = 16 / D(WIDTH) < 4 ? 16 / D(WIDTH) : 4, /* vectors of neurons; a stride holds them */
};

TARGET static inline D(vreal) D(load)(const REAL *from)
{
    D(vreal) v;
    memcpy(&v, from, sizeof v);
    return v;
}

TARGET static inline void D(store)(REAL *to, D(vreal) v)
{
    memcpy(to, &v, sizeof v);
}

TARGET static inline D(vreal) D(splat)(REAL value)
{
    return value - (D(vreal)){0};
}

/* mask (all ones or zeros in a lane) ? a : b */
TARGET static inline D(vreal) D(choose)(D(vuint) mask, D(vreal) a, D(vreal) b)
{
    return (D(vreal))((mask & (D(vuint))a) | (~mask & (D(vuint))b));
}

/* Coefficients of neighbouring powers, a + b r. */
TARGET static inline D(vreal) D(pair)(REAL a, REAL b, D(vreal) r)
{
    return D(splat)(a) + D(splat)(b) * r;
}

/* Taylor series of e^r, terms in pairs (Estrin), so that they don't wait for each other. */
TARGET static inline D(vreal) D(exp_series)(D(vreal) r)
{
    D(vreal) r2 = r * r;
    D(vreal) r4 = r2 * r2;
    D(vreal) low = D(pair)(1, 1, r) + r2 * D(pair)((REAL)1 / 2, (REAL)1 / 6, r);
    D(vreal)
    middle =
        D(pair)((REAL)1 / 24, (REAL)1 / 120, r) + r2 * D(pair)((REAL)1 / 720, (REAL)1 / 5040, r);
#if EXP_TERMS == 8
    return low + r4 * middle;
#else
    D(vreal)
    high = D(pair)((REAL)1 / 40320, (REAL)1 / 362880, r) +
           r2 * D(pair)((REAL)1 / 3628800, (REAL)1 / 39916800, r);
    D(vreal) top = D(pair)((REAL)1 / 479001600, (REAL)1 / (REAL)6227020800, r);
    return (low + r4 * middle) + r4 * r4 * (high + r4 * top);
#endif
}

/*
 * exp(x) within 2 ulp: x = n ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite: ln 2 in two parts),
 * Taylor series of e^r, times 2^n in two steps so that results below the normal range come out.
 */
TARGET static inline D(vreal) D(vexp)(D(vreal) x)
{
    D(vreal) low = D(splat)(EXP_LOWEST);
    D(vreal) high = D(splat)(EXP_HIGHEST);
    x = D(choose)((D(vuint))(x < low), low, x);
    x = D(choose)((D(vuint))(x > high), high, x);
    /* Adding 1.5 * 2^(mantissa bits) rounds to an integer, which is then the low bits. */
    D(vreal) shifter = D(splat)(EXP_SHIFTER);
    D(vreal) shifted = x * D(splat)(EXP_LOG2E) + shifter;
    D(vreal) n = shifted - shifter;
    D(vreal) r = (x - n * D(splat)(EXP_LN2_HIGH)) - n * D(splat)(EXP_LN2_LOW);
    D(vreal) sum = D(exp_series)(r);
    /* 2^n = 2^half * 2^(n - half): the exponent of each part is biased and moved into place. The
     * bias makes n positive, so that a logical shift halves it. */
    D(vuint) biased = (D(vuint))shifted - (D(vuint))shifter + 2 * EXP_BIAS;
    D(vuint) half = biased >> 1;
    D(vreal) first = (D(vreal))(half << EXP_MANTISSA);
    D(vreal) second = (D(vreal))((biased - half) << EXP_MANTISSA);
    return sum * first * second;
}

TARGET static inline D(vreal) D(logistic)(D(vreal) z)
{
    D(vreal) one = D(splat)(1);
    return one / (one + D(vexp)(-z));
}

/* Activates count values (rounded up to whole vectors) in place. */
TARGET static void D(activate)(const struct dense_layer *layer, REAL *values, uint32_t count)
{
    if (layer->activation == MODEL_ACTIVATION_LOGISTIC) {
        for (uint32_t i = 0; i < count; i += D(WIDTH)) {
            D(store)(values + i, D(logistic)(D(load)(values + i)));
        }
    } else if (layer->activation == MODEL_ACTIVATION_RECTIFIER) {
        for (uint32_t i = 0; i < count; i += D(WIDTH)) {
            D(vreal) z = D(load)(values + i);
            D(store)(values + i, D(choose)((D(vuint))(z > 0), z, (D(vreal)){0}));
        }
    } else if (layer->activation != MODEL_ACTIVATION_IDENTITY) {
        for (uint32_t i = 0; i < count; i++) {
            values[i] = D(activate_one)(layer, values[i]);
        }
    }
}

/* ---- one row: neurons side by side ----------------------------------------------------------- */

TARGET static void D(layer_row)(const struct dense_layer *layer, const REAL *x, REAL *y)
{
    const REAL *bias = layer->D(bias);
    for (uint32_t o = 0; o < layer->stride; o += D(SIDE) * D(WIDTH)) {
        const REAL *weights = layer->D(weights) + o;
        const D(vreal) zero = {0};
        D(vreal) sums[D(SIDE)];
        for (uint32_t b = 0; b < D(SIDE); b++) {
            sums[b] = layer->bias_last ? zero : D(load)(bias + o + b * D(WIDTH));
        }
        for (uint32_t i = 0; i < layer->inputs; i++, weights += layer->stride) {
            D(vreal) from = D(splat)(x[i]);
            for (uint32_t b = 0; b < D(SIDE); b++) {
                sums[b] += D(load)(weights + b * D(WIDTH)) * from;
            }
        }
        for (uint32_t b = 0; b < D(SIDE); b++) {
            uint32_t at = o + b * D(WIDTH);
            D(store)(y + at, layer->bias_last ? sums[b] + D(load)(bias + at) : sums[b]);
        }
    }
    D(activate)(layer, y, layer->stride);
}

/* ---- 64 rows: rows side by side -------------------------------------------------------------- */

/* x[input][64] -> y[output][64] */
TARGET static void D(layer_group)(const struct dense_layer *layer, const REAL *x, REAL *y)
{
    for (uint32_t o = 0; o < layer->outputs; o++) {
        REAL bias = layer->D(bias)[o];
        for (uint32_t v = 0; v < 64; v += D(BLOCK) * D(WIDTH)) {
            const REAL *weight = layer->D(weights) + o;
            const REAL *from = x + v;
            D(vreal) sums[D(BLOCK)];
            for (uint32_t b = 0; b < D(BLOCK); b++) {
                sums[b] = D(splat)(layer->bias_last ? 0 : bias);
            }
            for (uint32_t i = 0; i < layer->inputs; i++, weight += layer->stride, from += 64) {
                D(vreal) w = D(splat)(*weight);
                for (uint32_t b = 0; b < D(BLOCK); b++) {
                    sums[b] += w * D(load)(from + b * D(WIDTH));
                }
            }
            for (uint32_t b = 0; b < D(BLOCK); b++) {
                D(vreal) sum = layer->bias_last ? sums[b] + D(splat)(bias) : sums[b];
                D(store)(y + (size_t)o * 64 + v + b * D(WIDTH), sum);
            }
        }
    }
    D(activate)(layer, y, layer->outputs * 64);
}

/* Softmax over count values, each `step` apart, for one vector of rows (step 64) at a time. */
TARGET static void D(softmax_rows)(REAL *values, uint32_t count)
{
    for (uint32_t v = 0; v < 64; v += D(WIDTH)) {
        D(vreal) most = D(load)(values + v);
        for (uint32_t o = 1; o < count; o++) {
            D(vreal) z = D(load)(values + (size_t)o * 64 + v);
            most = D(choose)((D(vuint))(z > most), z, most);
        }
        D(vreal) sum = {0};
        for (uint32_t o = 0; o < count; o++) {
            REAL *at = values + (size_t)o * 64 + v;
            D(vreal) e = D(vexp)(D(load)(at) - most);
            D(store)(at, e);
            sum += e;
        }
        for (uint32_t o = 0; o < count; o++) {
            REAL *at = values + (size_t)o * 64 + v;
            D(store)(at, D(load)(at) / sum);
        }
    }
}

TARGET static void D(softmax_row)(REAL *values, uint32_t count)
{
    REAL most = values[0];
    for (uint32_t o = 1; o < count; o++) {
        most = values[o] > most ? values[o] : most;
    }
    for (uint32_t o = 0; o < count; o += D(WIDTH)) {
        D(store)(values + o, D(vexp)(D(load)(values + o) - D(splat)(most)));
    }
    REAL sum = 0;
    for (uint32_t o = 0; o < count; o++) {
        sum += values[o];
    }
    for (uint32_t o = 0; o < count; o++) {
        values[o] /= sum;
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* One row's outputs, `step` apart, to its place among the results. NaNs lose to any number. */
TARGET static void D(finish)(const struct dense_plan *p, const REAL *y, uint32_t step, uint32_t row,
                             const struct model_run *run)
{
    uint32_t count = p->layers[p->layer_count - 1].outputs;
    if (p->class_of == NULL) {
        double value = (double)y[0];
        run->numbers[row] = p->inverse != NULL ? model_norm_inverse(p->inverse, value) : value;
        return;
    }
    uint32_t best = 0;
    REAL most = y[0];
    for (uint32_t o = 1; o < count; o++) {
        bool more = !(y[(size_t)o * step] <= most) && !isnan(y[(size_t)o * step]);
        most = more ? y[(size_t)o * step] : most;
        best = more ? o : best;
    }
    run->classes[row] = isnan(most) ? UINT32_MAX : p->class_of[best];
    for (uint32_t o = 0; run->probabilities != NULL && o < count; o++) {
        run->probabilities[p->class_of[o]][row] = (double)y[(size_t)o * step];
    }
}

TARGET static inline REAL D(input)(const struct dense_plan *p, uint32_t i, double value)
{
    if (p->norms != NULL && p->norms[i].kind == MODEL_EXPR_NORM_CONTINUOUS) {
        value = model_norm_continuous(&p->norms[i], value);
    }
    return (REAL)value;
}

TARGET static void D(run_group)(const struct dense_plan *p, const struct model_run *run,
                                uint32_t first, REAL *x, REAL *y)
{
    uint32_t count = run->rows - first < 64 ? run->rows - first : 64;
    for (uint32_t i = 0; i < p->input_count; i++) {
        for (uint32_t k = 0; k < count; k++) {
            x[(size_t)i * 64 + k] = D(input)(p, i, run->columns[p->inputs[i]][first + k]);
        }
        for (uint32_t k = count; k < 64; k++) {
            x[(size_t)i * 64 + k] = 0;
        }
    }
    for (uint32_t l = 0; l < p->layer_count; l++) {
        D(layer_group)(&p->layers[l], x, y);
        if (p->layers[l].softmax) {
            D(softmax_rows)(y, p->layers[l].outputs);
        }
        REAL *swap = x;
        x = y;
        y = swap;
    }
    for (uint32_t k = 0; k < count; k++) {
        D(finish)(p, x + k, 64, first + k, run);
    }
}

TARGET void NAME(D(dense_run))(const struct model_plan *plan, const struct model_run *run)
{
    const struct dense_plan *p = (const struct dense_plan *)plan;
    REAL *x = run->scratch;
    REAL *y = x + (size_t)p->width_max * 64;
    if (run->rows > 1) {
        for (uint32_t first = 0; first < run->rows; first += 64) {
            D(run_group)(p, run, first, x, y);
        }
        return;
    }
    for (uint32_t i = 0; i < p->input_count; i++) {
        x[i] = D(input)(p, i, run->row[p->inputs[i]]);
    }
    for (uint32_t l = 0; l < p->layer_count; l++) {
        D(layer_row)(&p->layers[l], x, y);
        if (p->layers[l].softmax) {
            D(softmax_row)(y, p->layers[l].outputs);
        }
        REAL *swap = x;
        x = y;
        y = swap;
    }
    D(finish)(p, x, 1, 0, run);
}

#undef D
#undef PASTE
#undef PASTE2
#undef REAL
#undef UINT
#undef SUFFIX
#undef EXP_TERMS
#undef EXP_LOWEST
#undef EXP_HIGHEST
#undef EXP_SHIFTER
#undef EXP_LOG2E
#undef EXP_LN2_HIGH
#undef EXP_LN2_LOW
#undef EXP_BIAS
#undef EXP_MANTISSA
