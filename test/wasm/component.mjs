// SPDX-License-Identifier: Apache-2.0
// component.mjs JCO-DIRECTORY WORLD CORE COMPONENT: makes a component of a core module that has the imports and exports of
// the WIT file WORLD, with jco and the WIT packages of WASI that it brings.
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';

const [directory, world, core, component] = process.argv.slice(2);
const jco = `${directory}/node_modules/@bytecodealliance/jco`;
const { componentEmbed, componentNew } = await import(`${jco}/dist/api.js`);
const packages = `${jco}/lib/wit/builtin/0.2.12`;
// A package of its own each, nested in one text: nothing is looked for in directories.
const nested = readdirSync(packages).map((name) =>
    readFileSync(`${packages}/${name}/package.wit`, 'utf8').replace(/^package ([^;]+);([^]*)$/m, 'package $1 {$2}'));
const binary = await componentEmbed({
    binary: readFileSync(core),
    witSource: readFileSync(world, 'utf8') + nested.join('\n'),
});
writeFileSync(component, await componentNew(binary, []));
