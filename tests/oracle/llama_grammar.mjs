// What llama.cpp answers under a grammar, greedily: the text of each answer and whether it ended by itself.
//
//   node llama_grammar.mjs MODEL.gguf GRAMMAR.gbnf < PROMPTS.json > ANSWERS.json      ANSWERS: [{text, ended}, ...]
import {getLlama, LlamaGrammarEvaluationState, LlamaLogLevel} from "node-llama-cpp";
import {readFileSync} from "node:fs";

const [modelPath, grammarPath] = process.argv.slice(2);
const prompts = JSON.parse(readFileSync(0, "utf8"));
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.warn, maxThreads: 1});
const model = await llama.loadModel({modelPath});
const grammar = await llama.createGrammar({grammar: readFileSync(grammarPath, "utf8")});
const context = await model.createContext({
    contextSize: 256, sequences: 1, threads: 1, flashAttention: false, experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32"
});
const sequence = context.getSequence();
const answers = [];
for (const prompt of prompts) {
    const ids = [], start = [...model.tokenize(prompt, false)];
    let ended = false;
    await sequence.clearHistory();
    for await (const id of sequence.evaluate(model.tokens.shouldPrependBosToken ? [model.tokens.bos, ...start] : start, {
        temperature: 0, yieldEogToken: true, grammarEvaluationState: new LlamaGrammarEvaluationState({model, grammar})
    })) {
        ended = model.isEogToken(id);
        if (ended || ids.push(id) === 100)
            break;
    }
    answers.push({text: model.detokenize(ids, false, start), ended});
}
console.log(JSON.stringify(answers));
await llama.dispose();
