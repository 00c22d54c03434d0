#!/usr/bin/env python3
"""Reads a prompt and makes tokens with a prebuilt llama.cpp: what `fettle bench decode` is compared with.

    peer_llama.py BINS MODEL.gguf [--prompt N] [--new N] [--threads N] [--rounds N]

BINS is the folder of the npm package @node-llama-cpp/linux-x64 that holds libllama; the version is the one that
tests/oracle/package-lock.json pins. Everything is as the library sets it by itself: f16 cache, flash attention as it likes,
batches of up to 512 tokens. Prompts are random tokens. As with fettle, the clock of a prompt runs to its first new token, that
of new tokens from there to the last, each chosen greedily.

Prints one JSON object: prompt_tokens_per_s and tokens_per_s of the best round.
"""
import argparse
import ctypes as c
import glob
import json
import os
import random
import resource
import time


class Params(c.Structure):
    """A struct of parameters that the library fills and gets back: larger than any, of which n_ctx comes first in a
    context's."""
    _fields_ = [("n_ctx", c.c_uint32), ("rest", c.c_uint8 * 1020)]


class Batch(c.Structure):
    _fields_ = [("n_tokens", c.c_int32), ("token", c.c_void_p), ("embd", c.c_void_p), ("pos", c.c_void_p),
                ("n_seq_id", c.c_void_p), ("seq_id", c.c_void_p), ("logits", c.c_void_p)]


def function(lib, name, result, *arguments):
    f = getattr(lib, name)
    f.restype, f.argtypes = result, arguments
    return f


class Llama:
    def __init__(self, bins, path, tokens, threads):
        def load(name):  # libllama.so, or libllama.v0.4.0.so
            return c.CDLL(glob.glob(os.path.join(bins, name + ".*so"))[0], mode=c.RTLD_GLOBAL)

        ggml, lib = load("libggml"), load("libllama")
        self.log = c.CFUNCTYPE(None, c.c_int, c.c_char_p, c.c_void_p)(lambda *_: None)
        function(lib, "llama_log_set", None, c.c_void_p, c.c_void_p)(c.cast(self.log, c.c_void_p), None)
        function(ggml, "ggml_backend_load_all_from_path", None, c.c_char_p)(bins.encode())
        params = function(lib, "llama_model_default_params", Params)()
        model = function(lib, "llama_model_load_from_file", c.c_void_p, c.c_char_p, Params)(path.encode(), params)
        if not model:
            raise SystemExit(f"{path}: llama.cpp cannot load it")
        params = function(lib, "llama_context_default_params", Params)()
        params.n_ctx = tokens
        self.ctx = function(lib, "llama_init_from_model", c.c_void_p, c.c_void_p, Params)(model, params)
        if not self.ctx:
            raise SystemExit(f"{path}: llama.cpp cannot make a context of {tokens} tokens")
        function(lib, "llama_set_n_threads", None, c.c_void_p, c.c_int32, c.c_int32)(self.ctx, threads, threads)
        vocab = function(lib, "llama_model_get_vocab", c.c_void_p, c.c_void_p)(model)
        self.vocab_size = function(lib, "llama_vocab_n_tokens", c.c_int32, c.c_void_p)(vocab)
        self.one = function(lib, "llama_batch_get_one", Batch, c.c_void_p, c.c_int32)
        self.decode = function(lib, "llama_decode", c.c_int32, c.c_void_p, Batch)
        self.logits = function(lib, "llama_get_logits_ith", c.c_void_p, c.c_void_p, c.c_int32)
        # greedy choice in the library: Python would be slow at it
        self.pick = function(lib, "llama_sampler_sample", c.c_int32, c.c_void_p, c.c_void_p, c.c_int32)
        self.greedy = function(lib, "llama_sampler_init_greedy", c.c_void_p)()
        memory = function(lib, "llama_get_memory", c.c_void_p, c.c_void_p)(self.ctx)
        clear = function(lib, "llama_memory_clear", None, c.c_void_p, c.c_bool)
        self.clear = lambda: clear(memory, True)

    def feed(self, ids):
        """The greedy token behind ids, which follow what was fed before."""
        tokens = (c.c_int32 * len(ids))(*ids)
        if self.decode(self.ctx, self.one(tokens, len(ids))):
            raise SystemExit("llama_decode failed")
        return self.pick(self.greedy, self.ctx, -1)


def round_of(llama, prompt, new):
    llama.clear()
    begun = time.perf_counter()
    token = llama.feed(prompt)
    first = time.perf_counter()
    for _ in range(new - 1):
        token = llama.feed([token])
    return first - begun, time.perf_counter() - first


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("bins"), p.add_argument("model")
    for option, value in (("prompt", 512), ("new", 64), ("threads", os.cpu_count()), ("rounds", 3)):
        p.add_argument(f"--{option}", type=int, default=value)
    a = p.parse_args()
    llama = Llama(a.bins, a.model, a.prompt + a.new, a.threads)
    random.seed(1)
    prompt = [random.randrange(llama.vocab_size) for _ in range(a.prompt)]
    round_of(llama, prompt, a.new)  # does not count
    rounds = [round_of(llama, prompt, a.new) for _ in range(a.rounds)]
    print(json.dumps({
        "prompt_tokens_per_s": a.prompt / min(r[0] for r in rounds),
        "tokens_per_s": (a.new - 1) / min(r[1] for r in rounds),
        "threads": a.threads, "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


if __name__ == "__main__":
    main()
