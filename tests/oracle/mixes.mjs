// What llama.cpp's quantizer makes of a GGUF, tensor by tensor, against `fettle quantize`:
//
//   node mixes.mjs FETTLE LLAMA_QUANTIZE LIBLLAMA SCRATCH_DIR F16.gguf...      run by test_mixes
import {execFileSync} from "node:child_process";
import {basename, join} from "node:path";

const [fettle, quantizer, library, scratch, ...files] = process.argv.slice(2);
const FILE_TYPES = {q8_0: 7, q6_k: 18, q5_k_m: 17, q5_k_s: 16, q5_1: 9, q5_0: 8, q4_k_m: 15, q4_k_s: 14, q4_1: 3, q4_0: 2,
    iq4_nl: 25, iq4_xs: 30, q3_k_l: 13, q3_k_m: 12, q3_k_s: 11, q2_k: 10};
// For rows that are no whole number of blocks of q2_k and q3_k its versions differ: q4_0 or iq4_nl, of equal size. fettle takes
// iq4_nl, whose error is smaller.
const agree = (mine, theirs) => mine === theirs || (mine === "iq4_nl" && theirs === "q4_0");
let passed = 0, failed = 0;
const run = (program, ...args) => execFileSync(program, args, {encoding: "utf8", maxBuffer: 1 << 26, stdio: ["ignore", "pipe", "pipe"]});
const types = gguf => Object.fromEntries(JSON.parse(run(fettle, "inspect", gguf, "--tensors", "--json")).tensors.map(t => [t.name, t.type]));

for (const file of files)
    for (const [mix, number] of Object.entries(FILE_TYPES)) {
        const mine = join(scratch, "mine.gguf"), theirs = join(scratch, "theirs.gguf");
        run(fettle, "quantize", file, mine, "--type", mix);
        run(quantizer, library, file, String(number), "2", theirs);
        const a = types(mine), b = types(theirs);
        const off = Object.keys(b).filter(name => !agree(a[name], b[name])).map(name => `${name} ${a[name]}, llama.cpp ${b[name]}`);
        const same = off.length === 0 && Object.keys(a).length === Object.keys(b).length;
        same ? passed++ : failed++;
        if (!same)
            console.log(`FAILED: ${basename(file)} ${mix}: ${off.length} tensors: ${off.slice(0, 4).join("; ")}`);
    }
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
