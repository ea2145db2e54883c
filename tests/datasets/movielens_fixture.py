"""A tiny data set, written in each format of MovieLens."""

import zipfile

from tfdistill.datasets.movielens import Expected
from tfdistill.datasets.movielens_formats import _GENRES_100K

# id, title as in u.item, the same as RecBole cuts it, genres
ITEMS = [
    (1, "Toy Story (1995)", ("Toy Story", "1995"), "Animation Children's Comedy"),
    (2, "unknown", ("unkonwn", "unkonwn"), "unknown"),
    (3, "Misérables, Les (1995)", ("Misérables, Les", "1995"), "Drama Musical"),
    (4, "Land III (1995) (V)", ("Land III (1995)", "V"), "Animation"),
    (5, "Now (1984) (1996)", ("Now (1984)", "1996"), "Film-Noir"),
]
# id, age, gender, occupation, zip
USERS = [
    (1, 24, "M", "writer", "85711"),
    (2, 53, "F", "other", "v5a2B"),
    (3, 7, "M", "student", "01-02"),
]
# user, item, rating, timestamp; in no order
RATINGS = [
    (user, item, 1 + (3 * user + item) % 5, 880_000_000 + 7 * item - 5 * user)
    for item, *_ in ITEMS
    for user, *_ in USERS
    if (user, item) != (3, 5)
]
EXPECTED = Expected(rows=len(RATINGS), users=len(USERS), items=len(ITEMS))


def _write(path, separator, rows, encoding="latin-1", header=()):
    lines = [separator.join(str(field) for field in row) for row in rows]
    path.write_bytes(("\n".join([*header, *lines]) + "\n").encode(encoding))


def write_original(folder):
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "u.data", "\t", RATINGS)
    _write(folder / "u.user", "|", USERS)
    rows = [
        (item, title, "01-Jan-1995", "", "http://x")
        + tuple(int(genre in genres.split()) for genre in _GENRES_100K)
        for item, title, _, genres in ITEMS
    ]
    _write(folder / "u.item", "|", rows)
    return folder


def write_recbole(folder):
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    _write(folder / "ml-100k.inter", "\t", RATINGS[::-1], header=tokens)
    header = [
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"
    ]
    _write(folder / "ml-100k.user", "\t", USERS[::-1], header=header)
    header = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:..."]
    rows = [(item, *cut, genres) for item, _, cut, genres in ITEMS]
    _write(folder / "ml-100k.item", "\t", rows, "utf-8", header)
    return folder


def write_1m(folder):
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "ratings.dat", "::", RATINGS)
    rows = [(user, gender, age, job, code) for user, age, gender, job, code in USERS]
    _write(folder / "users.dat", "::", rows)
    rows = [(item, title, "|".join(genres.split())) for item, title, _, genres in ITEMS]
    _write(folder / "movies.dat", "::", rows)
    return folder


def write_zip(folder, path, prefix):
    """Packs a folder into a zip file, below the folder `prefix`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{prefix}/{file.name}")
    return path
