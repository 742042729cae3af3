"""`python -m scripts.docs [--write-only]`: rewrite what is generated, then build the site into build/site."""

import argparse
import sys

from . import generated, site


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.docs", description=(__doc__ or "").strip())
    parser.add_argument(
        "--write-only", action="store_true", help="only rewrite the generated parts of docs/, build nothing"
    )
    options = parser.parse_args()
    for path in generated.write():
        print(f"rewritten: {path.relative_to(site.ROOT)}")
    if options.write_only:
        return 0
    try:
        pages = site.build()
    except site.BuildError as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{pages} pages: open {site.BUILD / 'site' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
