// Writes reference.md from the built declarations: every exported name, its declaration, and its comment. `--print` shows it.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const at = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const program = ts.createProgram([at("dist/index.d.ts")], { module: ts.ModuleKind.NodeNext, lib: ["lib.es2022.d.ts", "lib.dom.d.ts"], types: [] });
const checker = program.getTypeChecker();
const entry = checker.getSymbolAtLocation(program.getSourceFile(at("dist/index.d.ts")));
const printer = ts.createPrinter({ newLine: ts.NewLineKind.LineFeed });

const kinds = [
  ["Functions", ts.SyntaxKind.FunctionDeclaration],
  ["Classes", ts.SyntaxKind.ClassDeclaration],
  ["Interfaces", ts.SyntaxKind.InterfaceDeclaration],
  ["Types", ts.SyntaxKind.TypeAliasDeclaration]
];

function described({ name, symbol, declaration }) {
  const comment = ts.displayPartsToString(symbol.getDocumentationComment(checker));
  const text = printer.printNode(ts.EmitHint.Unspecified, declaration, declaration.getSourceFile());
  const code = text.replace(/^export (declare )?/, "").replace(/^ +/gm, (blanks) => blanks.slice(blanks.length / 2));
  return `### ${name}\n\n${comment ? `${comment}\n\n` : ""}\`\`\`ts\n${code}\n\`\`\`\n`;
}

const names = checker.getExportsOfModule(entry).map((exported) => {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  return { name: exported.name, symbol, declaration: symbol.declarations[0] };
});
names.sort((a, b) => (a.name < b.name ? -1 : 1));

const sections = kinds.map(([title, kind]) => {
  const found = names.filter(({ declaration }) => declaration.kind === kind);
  return `## ${title}\n\n${found.map(described).join("\n")}`;
});
const text = `# Reference of @agentrouterhq/sdk

Generated from the declarations by \`npm run reference\`.

${sections.join("\n")}`;

if (process.argv.includes("--print")) process.stdout.write(text);
else writeFileSync(at("reference.md"), text);
