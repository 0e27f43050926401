/* One pass over memory for each optimiser: out[k] are the new parameter and states, in[] the parameter, its gradient and the states.
 *
 * An output may be the input of the same name (ivdep: an element is read before it is written, and no other element is touched).
 * c[] are the constants that optim.pyx derives from `hyper`, in double; c[0] multiplies the gradient, c[1] is the weight decay
 * that is added to it.
 */
#define TL_OUT(k) ((T *)out[k])
#define TL_IN(k) ((const T *)in[k])
#define TL_PARAMETER                              \
    T *p1 = TL_OUT(0);                            \
    const T *p0 = TL_IN(0), *g0 = TL_IN(1);       \
    const T scale = (T)c[0], decay = (T)c[1];
/* The parameter is read once, and an element's writes come after all its reads: arrays of one size often differ by a multiple of 4096 bytes,
 * and a read behind such a write waits for it. */
#define TL_READ const T p = p0[i], g = scale * g0[i] + decay * p;
#define TL_FOR TL_INDEPENDENT for (ptrdiff_t i = from; i < to; i++)

/* c[2] = lr */
static void NAME(tl_sgd)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_PARAMETER
    const T lr = (T)c[2];
    if (c[1] == 0) {
        /* No decay, not a decay of 0 times an infinite parameter: elements without a gradient stay, so that their rows may be left out. */
        TL_FOR {
            const T p = p0[i];
            p1[i] = p - lr * (scale * g0[i]);
        }
    } else {
        TL_FOR {
            TL_READ
            p1[i] = p - lr * g;
        }
    }
}

/* States: velocity. c[2] = lr, c[3] = momentum, c[4] = what the gradient adds to the velocity, c[5] = 1: Nesterov */
static void NAME(tl_momentum)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_PARAMETER
    T *u1 = TL_OUT(1);
    const T *u0 = TL_IN(2);
    const T lr = (T)c[2], mu = (T)c[3], fresh = (T)c[4];
    if (c[5] != 0) {
        TL_FOR {
            TL_READ
            const T u = mu * u0[i] + fresh * g;
            u1[i] = u;
            p1[i] = p - lr * (g + mu * u);
        }
    } else {
        TL_FOR {
            TL_READ
            const T u = mu * u0[i] + fresh * g;
            u1[i] = u;
            p1[i] = p - lr * u;
        }
    }
}

/* States: mean m, mean square v (and its maximum for AMSGrad).
 * c[2] = what decoupled decay leaves of p, c[3] = 1 - beta1, c[4] = beta2, c[5] = 1 - beta2, c[6] = lr/(1 - beta1^t),
 * c[7] = sqrt(1 - beta2^t), c[8] = eps */
#define TL_ADAM_MEANS                                             \
    TL_READ                                                       \
    const T m_old = m0[i], m = m_old + m_rate * (g - m_old);      \
    const T v = v_keep * v0[i] + v_rate * g * g;
#define TL_ADAM_STATES                                            \
    TL_PARAMETER                                                  \
    T *m1 = TL_OUT(1), *v1 = TL_OUT(2);                           \
    const T *m0 = TL_IN(2), *v0 = TL_IN(3);                       \
    const T left = (T)c[2], m_rate = (T)c[3], v_keep = (T)c[4];   \
    const T v_rate = (T)c[5], step = (T)c[6], root = (T)c[7], eps = (T)c[8];

static void NAME(tl_adam)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_ADAM_STATES
    TL_FOR {
        TL_ADAM_MEANS
        m1[i] = m;
        v1[i] = v;
        p1[i] = left * p - step * m / (SQRT(v) / root + eps);
    }
}

static void NAME(tl_amsgrad)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_ADAM_STATES
    T *w1 = TL_OUT(3);
    const T *w0 = TL_IN(4);
    TL_FOR {
        TL_ADAM_MEANS
        const T w_old = w0[i], w = v > w_old ? v : w_old;
        m1[i] = m;
        v1[i] = v;
        w1[i] = w;
        p1[i] = left * p - step * m / (SQRT(w) / root + eps);
    }
}

/* States: mean square v; then, by variant, the mean a that centres it, and the velocity u.
 * c[2] = lr, c[3] = alpha, c[4] = 1 - alpha, c[5] = eps, c[6] = momentum */
#define TL_RMSPROP(name, STATES, SPREAD, UPDATE)                                                                   \
    static void NAME(name)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {                 \
        TL_PARAMETER                                                                                               \
        T *v1 = TL_OUT(1);                                                                                         \
        const T *v0 = TL_IN(2);                                                                                    \
        const T lr = (T)c[2], keep = (T)c[3], rate = (T)c[4], eps = (T)c[5], mu = (T)c[6];                         \
        (void)mu;                                                                                                  \
        STATES                                                                                                     \
        TL_FOR {                                                                                                   \
            TL_READ                                                                                                \
            const T v = keep * v0[i] + rate * g * g;                                                               \
            SPREAD                                                                                                 \
            UPDATE                                                                                                 \
            v1[i] = v;                                                                                             \
        }                                                                                                          \
    }
#define TL_SPREAD const T s = SQRT(v) + eps;
#define TL_SPREAD_CENTRED                                  \
    const T a_old = a0[i], a = a_old + rate * (g - a_old); \
    const T s = SQRT(v - a * a) + eps;
#define TL_UPDATE p1[i] = p - lr * g / s;
#define TL_UPDATE_CENTRED \
    TL_UPDATE             \
    a1[i] = a;
#define TL_UPDATE_MOMENTUM          \
    const T u = mu * u0[i] + g / s; \
    u1[i] = u;                      \
    p1[i] = p - lr * u;
#define TL_UPDATE_BOTH \
    TL_UPDATE_MOMENTUM \
    a1[i] = a;
#define TL_STATE(name, k)             \
    T *name##1 = TL_OUT(k);           \
    const T *name##0 = TL_IN(k + 1);
TL_RMSPROP(tl_rmsprop, , TL_SPREAD, TL_UPDATE)
TL_RMSPROP(tl_rmsprop_momentum, TL_STATE(u, 2), TL_SPREAD, TL_UPDATE_MOMENTUM)
TL_RMSPROP(tl_rmsprop_centred, TL_STATE(a, 2), TL_SPREAD_CENTRED, TL_UPDATE_CENTRED)
TL_RMSPROP(tl_rmsprop_centred_momentum, TL_STATE(a, 2) TL_STATE(u, 3), TL_SPREAD_CENTRED, TL_UPDATE_BOTH)

/* States: sum of squares. c[2] = lr after its decay, c[3] = eps */
static void NAME(tl_adagrad)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_PARAMETER
    TL_STATE(v, 1)
    const T lr = (T)c[2], eps = (T)c[3];
    TL_FOR {
        TL_READ
        const T v = v0[i] + g * g;
        v1[i] = v;
        p1[i] = p - lr * g / (SQRT(v) + eps);
    }
}

/* States: mean square of gradients v, of updates d. c[2] = lr, c[3] = rho, c[4] = 1 - rho, c[5] = eps */
static void NAME(tl_adadelta)(void **out, void **in, const double *c, ptrdiff_t from, ptrdiff_t to) {
    TL_PARAMETER
    TL_STATE(v, 1)
    TL_STATE(d, 2)
    const T lr = (T)c[2], keep = (T)c[3], rate = (T)c[4], eps = (T)c[5];
    TL_FOR {
        TL_READ
        const T d = d0[i], v = keep * v0[i] + rate * g * g;
        const T s = SQRT(d + eps) / SQRT(v + eps) * g;
        v1[i] = v;
        d1[i] = keep * d + rate * s * s;
        p1[i] = p - lr * s;
    }
}

#undef TL_OUT
#undef TL_IN
#undef TL_PARAMETER
#undef TL_READ
#undef TL_FOR
#undef TL_ADAM_MEANS
#undef TL_ADAM_STATES
#undef TL_RMSPROP
#undef TL_UPDATE_CENTRED
#undef TL_UPDATE_BOTH
#undef TL_SPREAD
#undef TL_SPREAD_CENTRED
#undef TL_UPDATE
#undef TL_UPDATE_MOMENTUM
#undef TL_STATE
