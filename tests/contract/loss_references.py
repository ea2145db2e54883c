"""The losses again, as loops over one example in float64; nothing from tfdistill.

Each takes the valid items of one example: `s` student, `t` teacher, `w` weights.
"""

import math

import numpy as np


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else 1.0 - sigmoid(-x)


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def bce(p, z):
    return p * softplus(-z) + (1.0 - p) * softplus(z)


def softmax(z):
    z = np.asarray(z, np.float64)
    e = np.exp(z - z.max())
    return e / e.sum()


def rank(scores, i):
    return 1 + sum(other > scores[i] for other in scores)


def sigmoid_soft_label(s, t, w, temperature=1.0):
    return w * temperature**2 * bce(sigmoid(t / temperature), s / temperature)


def logit_mse(s, t, w):
    return w * (s - t) ** 2


def sigmoid_cross_entropy(s, t, w):
    return w * bce(t, s)


def bpr(s, t, w):
    pairs = [
        w[i] * softplus(-(s[i] - s[j]))
        for i in range(len(s))
        for j in range(len(s))
        if t[i] > t[j]
    ]
    return sum(pairs) / max(len(pairs), 1)


def list_softmax_kl(s, t, w, temperature=1.0):
    p, q = softmax(t / temperature), softmax(s / temperature)
    total = 0.0
    for i in range(len(s)):
        total += w[i] * (p[i] * math.log(p[i] / q[i]) - p[i] + q[i])
    return temperature**2 * total


def hint(s, t, w):
    return w * 0.5 * sum((a - b) ** 2 for a, b in zip(s, t))


def rank_linear(t, topk=10, top=4.0):
    return [top * max(topk + 1 - rank(t, i), 0) / topk for i in range(len(t))]


def approx_ndcg(s, t, w, relevance=rank_linear, temperature=0.1):
    rel = relevance(t)
    ideal = sum(
        (2.0**r - 1.0) / math.log2(1 + k)
        for k, r in enumerate(sorted(rel, reverse=True), 1)
    )
    dcg = 0.0
    for i in range(len(s)):
        smooth = 1.0 + sum(
            sigmoid((s[j] - s[i]) / temperature) for j in range(len(s)) if j != i
        )
        dcg += (2.0 ** rel[i] - 1.0) / math.log2(1.0 + smooth)
    weight = sum(a * b for a, b in zip(w, rel)) / sum(rel)
    return -weight * dcg / ideal if sum(rel) > 0 else 0.0


def in_batch_softmax(
    student, teacher, mask, weights, labels, positive, log_q, item_row, temperature=1.0
):
    users, length = mask.shape
    losses = []
    for u in range(users):
        if positive[u] < 0 or not mask[u, positive[u]] or not weights[u, positive[u]]:
            continue
        own = [k for k in range(length) if mask[u, k] and weights[u, k] > 0]
        known = {item_row[u, k] for k in own if labels[u, k] > 0}
        known.add(item_row[u, positive[u]])
        logits = []
        for v in range(users):
            for k in range(length):
                chosen = (v, k) == (u, positive[u])
                real = mask[v, k] and weights[v, k] > 0
                if chosen or (real and item_row[v, k] not in known):
                    z = float(student[u] @ teacher[v, k]) / temperature - log_q[v, k]
                    logits.append(z)
                    if chosen:
                        place = len(logits) - 1
        p = softmax(logits)[place]
        losses.append(-weights[u, positive[u]] * math.log(p))
    return sum(losses) / max(len(losses), 1)
