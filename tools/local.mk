# Tools, recipes, data and the written documents go into the tarball as they are.
EXTRA_DIST += %D%/setup.sh %D%/check %D%/quickstart %D%/synth.py %D%/make-defects %D%/make-clinical %D%/naive-bayes \
	%D%/check-leaks %D%/bench-peers %D%/bench-types \
	%D%/peer_torch.py %D%/peer_torch_rows.py %D%/peer_llama.py %D%/peer_tokenizers.mjs \
	%D%/peers/__init__.py %D%/peers/common.py %D%/peers/decode.py %D%/peers/growth.py %D%/peers/load.py %D%/peers/plot.py \
	%D%/peers/predict.py %D%/peers/recipes.py %D%/peers/tokenizer.py %D%/peers/train.py %D%/bench-models %D%/bench-quantization .ci/run recipes data \
	docs/ARCHITECTURE.md docs/PITFALLS.md docs/models.md docs/performance.md docs/growth.svg docs/quantization.md docs/results.md docs/guides

# check-rooms: the order of the rooms is enforced, not hoped for. check-data: the shipped rows are what their generators make.
# check-docs: links, commands and options in the documents exist, recipes validate.
dist_check_SCRIPTS += %D%/check-rooms %D%/check-data %D%/check-docs
TESTS += %D%/check-rooms %D%/check-data %D%/check-docs
