// Exports of fettle in the prebuilt llama.cpp: same prompt ids, and for F16 the same greedy tokens as `fettle generate`.
//
//   node test_llama.mjs FETTLE SCRATCH_DIR MODEL...      run by test_llama, beside which llama_oracle.mjs stands
import {execFileSync, spawnSync} from "node:child_process";
import {readFileSync, writeFileSync} from "node:fs";
import {basename, dirname, join} from "node:path";
import {fileURLToPath} from "node:url";

const [fettle, scratch, ...models] = process.argv.slice(2);
const oracle = join(dirname(fileURLToPath(import.meta.url)), "llama_oracle.mjs");
const COUNT = 40;
// A story's opening, the manner of a report, digits, capitals, punctuation, white space, letters outside ASCII. A model is asked
// those that its vocabulary can say: tinystories-656k knows few characters, and llama.cpp dies of the others.
const PROMPTS = [
    "Once upon a time",
    "The pump was not",
    "Lily and Tom went to the park. \"Look,\" said Tom, \"a big dog!\"",
    "Report: conv belt lse, adj'd\nLabels:",
    "WO 4711: L2 FILLER 3/8\" valve; 12.5 bar (max 40)",
    "  two spaces, a\ttab\n\nand an empty line ",
    "Ölstand prüfen – 60 °C, naïve café, 漢字 🙂",
];
let passed = 0, failed = 0;

function check(holds, what, detail) {
    if (holds)
        passed++;
    else {
        failed++;
        console.log(`FAILED: ${what}${detail ? ": " + detail : ""}`);
    }
}

const run = (...args) => execFileSync(fettle, args, {encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"]});
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const differing = (a, b) => {
    const at = a.findIndex((x, i) => x !== b[i]);
    return `at ${at < 0 ? Math.min(a.length, b.length) : at}: fettle [${a}] llama.cpp [${b}]`;
};

function ask(gguf, prompts) {
    const r = spawnSync(process.execPath, [oracle, gguf, String(COUNT)],
        {input: JSON.stringify(prompts), encoding: "utf8", maxBuffer: 1 << 26, timeout: 240000});
    if (r.status !== 0)
        throw new Error(`llama.cpp on ${gguf}: ${r.signal || r.status} ${r.stderr}`);
    return JSON.parse(r.stdout);
}

const encode = (model, text) => JSON.parse(run("tokenizer", "encode", model, "--text", text, "--json")).ids[0];
const sayable = (model, text) => run("tokenizer", "decode", model, ...encode(model, text).map(String)) === text + "\n";

// Whether fettle's two best tokens behind ids lie so close that rounding decides: llama.cpp rounds activations to F16 before it
// multiplies them with F16 weights, which moves logits by up to a thousandth of the largest.
function nearTie(gguf, ids) {
    const [asked, answer] = [join(scratch, "ids.txt"), join(scratch, "logits.safetensors")];
    writeFileSync(asked, ids.join(" ") + "\n");
    run("eval", gguf, "--token-ids", asked, "--logits", answer);
    const file = readFileSync(answer), head = 8 + Number(file.readBigUInt64LE(0));
    const {shape: [rows, vocab], data_offsets: [from]} = JSON.parse(file.toString("utf8", 8, head)).row0;
    const last = Array.from({length: vocab}, (_, i) => file.readFloatLE(head + from + 4 * ((rows - 1) * vocab + i)));
    const largest = Math.max(...last.map(Math.abs)), [first, second] = last.sort((a, b) => b - a);
    return first - second < 1e-3 * largest;
}

// Greedy tokens agree to the end, or up to a near tie; ties are counted, and most prompts have to do without.
function sameGreedy(gguf, asked, mine, theirs, ties) {
    const at = mine.findIndex((x, i) => x !== theirs[i]);
    if (at < 0)
        return mine.length === theirs.length;
    ties.push(at);
    return nearTie(gguf, [...asked, ...mine.slice(0, at)]);
}

function compare(model, quant) {
    const gguf = join(scratch, `${basename(model)}-${quant}.gguf`);
    run("export", model, "--format", "gguf", "--quant", quant, "--out", gguf);
    const prompts = PROMPTS.filter(text => sayable(model, text));
    check(prompts.length >= 3, `${basename(model)}: prompts that its vocabulary can say`, String(prompts.length));
    const answers = ask(gguf, prompts), ties = [];
    for (const {prompt, ids, generated} of answers.cases) {
        const what = `${basename(model)} ${quant} ${JSON.stringify(prompt)}`;
        const encoded = encode(model, prompt);
        check(same(encoded, ids), `${what}: prompt ids`, differing(encoded, ids));
        if (quant !== "f16") {
            check(generated.length > 0, `${what}: goes on`);
            continue;
        }
        const mine = JSON.parse(run("generate", gguf, "--prompt", prompt, "--max-new-tokens", String(COUNT), "--json"));
        const asked = answers.add_bos ? [answers.bos, ...ids] : ids;
        check(same(mine.prompt_ids, asked), `${what}: ids with BOS`, differing(mine.prompt_ids, asked));
        check(sameGreedy(gguf, asked, mine.ids, generated, ties), `${what}: greedy tokens`, differing(mine.ids, generated));
    }
    check(ties.length * 2 < prompts.length, `${basename(model)} ${quant}: near ties`, `${ties.length} of ${prompts.length} prompts`);
}

for (const model of models)
    for (const quant of ["f16", "q8_0"]) {
        try {
            compare(model, quant);
        } catch (e) {
            check(false, `${basename(model)} ${quant}`, e.stderr || e.message);
        }
    }
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
