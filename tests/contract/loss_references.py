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


def probability_mse(s, t, w):
    return w * (sigmoid(s) - sigmoid(t)) ** 2


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
        dcg += w[i] * (2.0 ** rel[i] - 1.0) / math.log2(1.0 + smooth)
    return -dcg / ideal if sum(rel) > 0 else 0.0


def in_batch_softmax(
    student,
    teacher,
    mask,
    weights,
    labels,
    positive,
    log_q,
    item_row,
    temperature=1.0,
    every=False,
):
    users, length = mask.shape
    losses = []
    for u in range(users):
        own = [k for k in range(length) if mask[u, k] and weights[u, k] > 0]
        liked = [k for k in own if labels[u, k] > 0]
        positives = liked if every else [k for k in own if k == positive[u]]
        if not positives:
            continue
        known = {item_row[u, k] for k in liked + positives}

        def logit(u, v, k):
            return float(student[u] @ teacher[v, k]) / temperature - log_q[v, k]

        rest = [
            logit(u, v, k)
            for v in range(users)
            for k in range(length)
            if mask[v, k] and weights[v, k] > 0 and item_row[v, k] not in known
        ]
        values = [
            -weights[u, k] * math.log(softmax([logit(u, u, k), *rest])[0])
            for k in positives
        ]
        losses.append(sum(values) / len(values))
    return sum(losses) / max(len(losses), 1)


def softmax_soft_label(s, t, w, temperature=1.0):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return -w * temperature**2 * sum(a * math.log(b) for a, b in zip(p, q))


def margin_mse(s, t, w):
    n = len(s)
    total = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            gap = (s[i] - s[j]) - (t[i] - t[j])
            total += 0.5 * (w[i] + w[j]) * gap**2
    return total / max(n * (n - 1) / 2, 1)


def ranknet(s, t, w, temperature=1.0):
    n = len(s)
    total = 0.0
    for i in range(n):
        for j in range(i + 1, n):
            p = sigmoid((t[i] - t[j]) / temperature)
            total += 0.5 * (w[i] + w[j]) * bce(p, (s[i] - s[j]) / temperature)
    return temperature**2 * total / max(n * (n - 1) / 2, 1)


def grouped_bpr(s, t, w, group, decay=20.0):
    total = 0.0
    for g in set(group):
        own = [i for i in range(len(s)) if group[i] == g]
        scores = [t[i] for i in own]
        chance = {i: math.exp(-rank(scores, k) / decay) for k, i in enumerate(own)}
        pairs = [(i, j) for i in own for j in own if t[i] > t[j]]
        losses = [
            chance[i] * chance[j] * w[i] * softplus(-(s[i] - s[j])) for i, j in pairs
        ]
        if pairs:
            total += sum(losses) / sum(chance[i] * chance[j] for i, j in pairs)
    return total


def ideal_dcg(rel, topn):
    best = sorted(rel, reverse=True)[:topn]
    return sum((2.0**r - 1.0) / math.log2(1 + k) for k, r in enumerate(best, 1))


def delta_ndcg(s, t, w, relevance=rank_linear, topn=None):
    rel = relevance(t)
    n = len(s)
    order = sorted(range(n), key=lambda i: (-s[i], rel[i]))
    place = {item: k for k, item in enumerate(order, 1)}

    def discount(i):
        return 1.0 / math.log2(1 + place[i]) if place[i] <= (topn or n) else 0.0

    total = 0.0
    for i in range(n):
        for j in range(n):
            if rel[i] > rel[j]:
                change = abs(2.0 ** rel[i] - 2.0 ** rel[j])
                change *= abs(discount(i) - discount(j)) / ideal_dcg(rel, topn)
                total += w[i] * change * softplus(-(s[i] - s[j]))
    return total / n


def list_kl(p, q, w):
    return sum(c * (a * math.log(a / b) - a + b) for a, b, c in zip(p, q, w))


def list_divergence(s, t, w, temperature=1.0, divergence="forward"):
    p, q = softmax(t / temperature), softmax(s / temperature)
    if divergence == "forward":
        value = list_kl(p, q, w)
    elif divergence == "reverse":
        value = list_kl(q, p, w)
    else:
        m = (p + q) / 2.0
        value = (list_kl(p, m, w) + list_kl(q, m, w)) / 2.0
    return temperature**2 * value


def calibrated_list_kl(s, t, w):
    p, q = np.array([sigmoid(x) for x in t]), np.array([sigmoid(x) for x in s])
    return list_kl(p / p.sum(), q / q.sum(), w)


def exponential(t, decay=10.0, top=4.0, topk=None):
    ranks = [rank(t, i) for i in range(len(t))]
    return [top * math.exp((1 - r) / decay) * (r <= (topk or r)) for r in ranks]


def rank_log(t, cutoff, top):
    best = math.log(1 + cutoff)
    ranks = [min(rank(t, i), cutoff) for i in range(len(t))]
    return [top * (best - math.log(r)) / best for r in ranks]


def min_max(t, top=3.0):
    low, high = min(t), max(t)
    return [top * (x - low) / (high - low) if high > low else 0.0 for x in t]


def quantile_buckets(t, levels=3):
    n = len(t)
    return [math.floor(levels * (n - rank(t, i)) / n) for i in range(n)]


def relevance_cross_entropy(s, t, w, relevance=rank_linear):
    rel = relevance(t)
    q = softmax(s)
    total = sum(rel) or 1.0
    return -sum(c * r * math.log(p) for c, r, p in zip(w, rel, q)) / total


def plackett_luce(s, t, w, topk=None):
    losses = []
    for i in range(len(s)):
        if rank(t, i) <= (topk or len(s)):
            tail = [s[j] for j in range(len(s)) if t[j] <= t[i]]
            top = max(tail)
            log_sum = top + math.log(sum(math.exp(x - top) for x in tail))
            losses.append(w[i] * (log_sum - s[i]))
    return sum(losses) / len(losses)


def top_k_soft_label(s, t, w, topk=10, rest_weight=1.0):
    total = 0.0
    for i in range(len(s)):
        head = rank(t, i) <= topk
        total += w[i] * (bce(1.0, s[i]) if head else rest_weight * bce(0.0, s[i]))
    return total / len(s)


def ranking_distillation(
    s, t, w, num_items, topk=10, decay=1.0, sharpness=0.1, discrepancy=1.0
):
    head = [i for i in range(len(s)) if rank(t, i) <= topk]
    rest = [i for i in range(len(s)) if i not in head]
    weights = []
    for i in head:
        above = sum(s[j] > s[i] for j in rest)
        guess = math.floor((num_items - 1) * above / max(len(rest), 1)) + 1
        late = math.tanh(max(sharpness * (guess - rank(t, i)), 0.0))
        position = math.exp(-rank(t, i) / decay)
        weights.append(position * (1.0 - discrepancy + discrepancy * late))
    total = sum(weights) or 1.0
    return sum(w[i] * a * softplus(-s[i]) for i, a in zip(head, weights)) / total


def collaborative_distillation(s, t, w, temperature=1.0, shift=0.0):
    return w * bce(sigmoid((t + shift) / temperature), s)


def rank_distil(student, teacher, mask, weights, labels, orders):
    values = []
    for b in range(len(student)):
        s, w = student[b], weights[b]
        valid = {i for i in range(len(s)) if mask[b, i] and w[i] > 0}
        likelihoods = []
        for order in orders[b]:
            left, terms = set(valid), []
            for i in order:
                if i in valid:
                    top = max(s[j] for j in left)
                    total = sum(math.exp(s[j] - top) for j in left)
                    terms.append(w[i] * (top + math.log(total) - s[i]))
                    left.remove(i)
            likelihoods.append(sum(terms) / max(len(terms), 1))
        if valid:
            values.append(np.mean(likelihoods))
    return float(np.mean(values)) if values else 0.0


def in_batch_distillation(
    student, teacher, mask, weights, labels, log_q, item_row, temperature=1.0
):
    users, length = mask.shape
    real = mask & (weights > 0)
    losses = []
    for u in range(users):
        own = {item_row[u, k] for k in range(length) if real[u, k]}
        z = {"student": [], "teacher": []}
        for v, k in np.argwhere(real):
            if v == u or item_row[v, k] not in own:
                for name, towers in (("student", student), ("teacher", teacher)):
                    dot = float(towers[u, 0] @ towers[v, 1 + k])
                    z[name].append(dot / temperature - log_q[v, k])
        if own:
            p, q = softmax(z["teacher"]), softmax(z["student"])
            weight = np.mean(weights[u][real[u]])
            losses.append(weight * temperature**2 * list_kl(p, q, np.ones(len(p))))
    return sum(losses) / max(len(losses), 1)


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def cosine_hint(s, t, w):
    return w * (1.0 - cosine(s, t))


def classifier_transfer(s, t, w, widths, coefficients=None):
    total, start = 0.0, 0
    for n, c in zip(widths, coefficients or [1.0] * len(widths)):
        total += c * np.mean((s[start : start + n] - t[start : start + n]) ** 2)
        start += n
    return w * total


def rows_in(mask, weights):
    return [i for i in range(len(mask)) if mask[i] and weights[i] > 0]


def full_topology(student, teacher, mask, weights, labels):
    rows, losses = rows_in(mask, weights), []
    for i in rows:
        gaps = [
            (cosine(student[i], student[j]) - cosine(teacher[i], teacher[j])) ** 2
            for j in rows
        ]
        losses.append(weights[i] * np.mean(gaps))
    return float(np.mean(losses)) if losses else 0.0


def hierarchical_topology(student, teacher, mask, weights, labels, assignment):
    rows, losses = rows_in(mask, weights), []
    groups = [k for k in range(assignment.shape[1]) if assignment[rows, k].sum() > 0]

    def centre(x, k):
        share = assignment[rows, k]
        return sum(a * x[i] for a, i in zip(share, rows)) / share.sum()

    for i in rows:
        to_centres = [
            (
                cosine(student[i], centre(student, k))
                - cosine(teacher[i], centre(teacher, k))
            )
            ** 2
            for k in groups
        ]
        within = [
            (cosine(student[i], student[j]) - cosine(teacher[i], teacher[j])) ** 2
            for j in rows
            if np.argmax(assignment[i]) == np.argmax(assignment[j])
        ]
        losses.append(weights[i] * (np.mean(to_centres) + np.mean(within)))
    return float(np.mean(losses)) if losses else 0.0


def contrastive(student, teacher, mask, weights, labels, temperature=0.1):
    rows, losses = rows_in(mask, weights), []
    for i in rows:
        z = [cosine(student[i], teacher[j]) / temperature for j in rows]
        losses.append(-weights[i] * math.log(softmax(z)[rows.index(i)]))
    return float(np.mean(losses)) if losses else 0.0
