// Every type that fettle writes, in llama.cpp: the same greedy tokens as `fettle generate` on the same file, and the same logits.
//
//   node types.mjs FETTLE LLAMA_IDS LIBLLAMA SCRATCH_DIR MODEL...      run by test_types
//
// llama.cpp rounds what it multiplies with quantized weights to 8 bits, fettle does not, so logits differ by a part of the
// largest one (up to 0.017 on tinystories-656k, 128 wide, 0.035 on data/base, 256 wide, and 0.052 on random weights of Llama 3.2
// 1B's shape), and a choice between two tokens that lie closer than that may fall either way. Therefore, with wider
// limits for models past LARGE bytes in F16:
//
//   - llama.cpp goes on with 20 tokens; fettle looks at all 20 places behind the same tokens. At each of them llama.cpp's token
//     must be fettle's best, or one whose logit is nearer to the best than TIE of the largest |logit|.
//   - `fettle generate` must give the same tokens up to the first such near tie.
//   - The logits of the prompts differ by less than BOUND of the largest.
//   - The file's weights written out in F32 give in llama.cpp what fettle has on the quantized file, to REST: what is left of the
//     difference when nothing is rounded. For models past SMALL bytes they are written in F16, to which llama.cpp rounds
//     activations then too.
//
// How many places had another token is told for each file, and a file where more than half of them have fails. The types are
// the usual ones, with FT_FULL set all of them for models below SMALL bytes in F16; three for those past LARGE, which take a
// minute a type.
import {execFileSync} from "node:child_process";
import {closeSync, openSync, readFileSync, readSync, rmSync, statSync, writeFileSync} from "node:fs";
import {basename, join} from "node:path";

const [fettle, llamaIds, library, scratch, ...models] = process.argv.slice(2);
const USUAL = ["q8_0", "q6_k", "q4_k_m", "q4_0", "iq4_xs", "q3_k_m", "q2_k"], FEW = ["q8_0", "q4_k_m", "q2_k"];
const ALL = [...USUAL, "q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_s", "q4_1", "iq4_nl", "q3_k_l", "q3_k_s", "mxfp4"];
const PROMPTS = ["Once upon a time", "The pump was not", "Lily and Tom went to the park"];
const COUNT = 20, SMALL = 2 ** 26, LARGE = 2 ** 30;
let passed = 0, failed = 0;

function check(holds, what, detail) {
    holds ? passed++ : failed++;
    if (!holds)
        console.log(`FAILED: ${what}: ${detail}`);
}

const run = (program, ...args) => execFileSync(program, args, {encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"]});
const asked = join(scratch, "ids");
const writeRows = rows => writeFileSync(asked, rows.map(row => row.join(" ") + "\n").join(""));

// The floats of a file from byte `from` on, as rows of `vocab`.
function floats(path, from, rows, vocab) {
    const all = new Float32Array(rows * vocab), f = openSync(path, "r");
    readSync(f, new Uint8Array(all.buffer), 0, all.byteLength, from);
    closeSync(f);
    return Array.from({length: rows}, (_, i) => all.subarray(i * vocab, (i + 1) * vocab));
}

// For each row of ids the logits behind each of them.
function fettleLogits(gguf, rows) {
    const out = join(scratch, "logits.safetensors");
    writeRows(rows);
    run(fettle, "eval", gguf, "--token-ids", asked, "--logits", out);
    const begin = new Uint8Array(1 << 16), f = openSync(out, "r");
    readSync(f, begin, 0, begin.length, 0);
    closeSync(f);
    const size = Number(Buffer.from(begin.buffer).readBigUInt64LE(0)), head = JSON.parse(Buffer.from(begin.buffer).toString("utf8", 8, 8 + size));
    return rows.map((row, i) => {
        const {shape: [n, vocab], data_offsets: [from]} = head[`row${i}`];
        return floats(out, 8 + size + from, n, vocab);
    });
}

function llamaLogits(gguf, rows) {
    const out = join(scratch, "logits.f32"), tokens = rows.reduce((n, row) => n + row.length, 0);
    writeRows(rows);
    run(llamaIds, library, gguf, asked, "1", "logits", out);
    const all = floats(out, 0, tokens, statSync(out).size / 4 / tokens);
    return rows.map(row => all.splice(0, row.length));
}

function llamaGreedy(gguf, rows) {
    writeRows(rows);
    return run(llamaIds, library, gguf, asked, "1", "greedy", String(COUNT)).trim().split("\n").map(line => line.split(" ").map(Number));
}

const largest = x => x.reduce((top, v) => Math.max(top, Math.abs(v)), 0);
const best = x => x.reduce((top, v) => Math.max(top, v), -Infinity);

// The largest difference of any two logits, in parts of the largest logit. Logits may all be shifted: only differences count.
function distance(mine, theirs) {
    let off = 0, top = 0;
    mine.forEach((row, i) => row.forEach((x, k) => {
        top = Math.max(top, largest(x));
        const shift = x.reduce((s, v, j) => s + v - theirs[i][k][j], 0) / x.length;
        x.forEach((v, j) => { off = Math.max(off, Math.abs(v - theirs[i][k][j] - shift)); });
    }));
    return off / top;
}

// How far llama.cpp's tokens lie behind fettle's best at each place, in parts of the largest logit.
const gaps = (logits, prompt, tokens) => tokens.map((id, i) => {
    const x = logits[prompt.length - 1 + i];
    return (best(x) - x[id]) / largest(x);
});

function compare(name, gguf, type, {TIE, BOUND, plain, REST}) {
    const made = PROMPTS.map(text => JSON.parse(run(fettle, "generate", gguf, "--prompt", text, "--max-new-tokens", String(COUNT), "--json")));
    const prompts = made.map(m => m.prompt_ids), theirs = llamaGreedy(gguf, prompts);
    const logits = fettleLogits(gguf, prompts.map((p, i) => [...p, ...theirs[i].slice(0, -1)]));
    let other = 0, widest = 0;
    made.forEach((m, i) => {
        const gap = gaps(logits[i], prompts[i], theirs[i]), at = theirs[i].findIndex((id, k) => id !== m.ids[k]);
        const what = `${name} ${type} ${JSON.stringify(PROMPTS[i])}`;
        other += gap.filter(g => g > 0).length;
        widest = Math.max(widest, ...gap);
        check(gap.every(g => g < TIE), `${what}: llama.cpp's tokens`, `${Math.max(...gap)} of the largest logit behind fettle's best`);
        // a text that ended by itself is shorter: the next of llama.cpp's tokens ends it too
        const end = at >= 0 && at === m.ids.length && m.stopped;
        const near = at >= 0 && at < m.ids.length && (x => Math.abs(x[m.ids[at]] - x[theirs[i][at]]) / largest(x) < TIE)(logits[i][prompts[i].length - 1 + at]);
        check(at < 0 || end || near, `${what}: fettle generate`, `at ${at}: [${m.ids}], llama.cpp [${theirs[i]}]`);
    });
    check(other * 2 < COUNT * PROMPTS.length, `${name} ${type}: other tokens`, `${other} of ${COUNT * PROMPTS.length} places`);
    const mine = fettleLogits(gguf, prompts), off = distance(mine, llamaLogits(gguf, prompts));
    check(off < BOUND, `${name} ${type}: logits`, `${off} of the largest`);
    const same = join(scratch, "plain.gguf");
    run(fettle, "quantize", gguf, same, "--type", plain);
    const rest = distance(mine, llamaLogits(same, prompts));
    rmSync(same);
    check(rest < REST, `${name} ${type}: logits of the same weights in ${plain}`, `${rest} of the largest`);
    console.log(`${name} ${type}: ${other} of ${COUNT * PROMPTS.length} tokens other ones, at most ${widest.toExponential(1)} behind; logits differ by ${off.toExponential(1)}, of the same weights in ${plain} ${rest.toExponential(1)}`);
}

for (const model of models) {
    const {size} = statSync(join(model, "model.safetensors")), small = size < SMALL, large = size > LARGE;
    const limits = {TIE: large ? 0.06 : 0.03, BOUND: large ? 0.08 : 0.05, plain: small ? "f32" : "f16", REST: small ? 1e-4 : 1e-2};
    for (const type of large ? FEW : small && process.env.FT_FULL ? ALL : USUAL) {
        const gguf = join(scratch, "model.gguf");
        try {
            run(fettle, "quantize", model, gguf, "--type", type);
            compare(basename(model), gguf, type, limits);
        } catch (e) {
            check(false, `${basename(model)} ${type}`, e.stderr || e.message);
        }
        rmSync(gguf, {force: true});
    }
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
