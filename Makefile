# `make up`: a cloud on this machine with a first instance in it. `make test`: every test there is.
# Both install what is missing, and say so; both may be run again at any time.

MALLEE = target/release/mallee

.PHONY: up test bench

up:
	@scripts/packages.sh run
	cargo build --release --locked
	@$(MALLEE) up --detach
	@$(MALLEE) image list | grep -qw mallee-demo || $(MALLEE) image build
	@$(MALLEE) run --unless-running

test:
	@scripts/packages.sh test
	@scripts/test.sh

# Figures beside their floors and peers; docs/benchmarks.md says how to read them.
bench:
	@scripts/packages.sh bench
	@scripts/bench.sh
