// Checks style.json of a folder by MapLibre's validator and draws it in headless Chromium to maplibre.png.
// `node open_maps.mjs FOLDER [PICTURE]`; the bounds are those of the folder's manifest, where it has one, or of BOUNDS (west,south,east,north).
import { createServer } from 'node:http';
import { open, readFile, stat } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = process.argv[2];
const picture = process.argv[3] ?? join(folder, 'maplibre.png');
const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => 'null'));
const [west, south, east, north] = process.env.BOUNDS?.split(',').map(Number) ?? manifest?.extent?.flat() ?? [-0.5, -0.6, 11.5, 8.2];
const modules = process.env.NODE_MODULES;
const load = (path) => import(pathToFileURL(join(modules, path)));
const { validateStyleMin } = await load('@maplibre/maplibre-gl-style-spec/dist/index.mjs');
const style = JSON.parse(await readFile(join(folder, 'style.json'), 'utf8'));
const faults = validateStyleMin(style);
for (const fault of faults) console.error(`maplibre: ${fault.message}`);
if (faults.length > 0) process.exit(1);
console.log(`maplibre: the style is valid, ${style.layers.length} layers, ${Object.keys(style.sources).length} sources`);

const page = `<!doctype html><meta charset="utf-8"><style>html,body,#map{margin:0;width:1200px;height:900px}</style><div id="map"></div>
<script src="/modules/pmtiles/dist/pmtiles.js"></script>
<script type="module">
import * as maplibregl from '/modules/maplibre-gl/dist/maplibre-gl.mjs';
window.faults = [];
maplibregl.addProtocol('pmtiles', new pmtiles.Protocol().tile);
const style = await (await fetch('/style.json')).json();
// MapLibre wants these two absolute.
const absolute = (path) => location.href + path;
if (style.glyphs) style.glyphs = absolute(style.glyphs);
if (typeof style.sprite === 'string') style.sprite = absolute(style.sprite);
else for (const sheet of style.sprite ?? []) sheet.url = absolute(sheet.url);
const map = new maplibregl.Map({ container: 'map', style, fadeDuration: 0, attributionControl: false,
  bounds: [[${west}, ${south}], [${east}, ${north}]], preserveDrawingBuffer: true, canvasContextAttributes: { preserveDrawingBuffer: true } });
map.on('error', (event) => window.faults.push(String(event.error?.message ?? event.error)));
map.on('styleimagemissing', (event) => window.faults.push('no image ' + event.id));
map.once('idle', () => { window.zoom = map.getZoom(); window.drawn = true; });
</script>`;
const types = { '.mjs': 'text/javascript', '.js': 'text/javascript', '.json': 'application/json', '.png': 'image/png', '.css': 'text/css' };
const server = createServer(async (request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  if (path === '/') return response.writeHead(200, { 'content-type': 'text/html' }).end(page);
  const file = path.startsWith('/modules/') ? join(modules, path.slice(9)) : join(folder, path);
  try {
    const size = (await stat(file)).size;
    const type = types[file.slice(file.lastIndexOf('.'))] ?? 'application/octet-stream';
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (!range) return response.writeHead(200, { 'content-type': type }).end(await readFile(file));
    // PMTiles is read by ranges.
    const [from, to] = [Number(range[1]), Math.min(Number(range[2]), size - 1)];
    const handle = await open(file);
    const { buffer } = await handle.read(Buffer.alloc(to - from + 1), 0, to - from + 1, from);
    await handle.close();
    response.writeHead(206, { 'content-type': type, 'content-range': `bytes ${from}-${to}/${size}` }).end(buffer);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const { default: puppeteer } = await load('puppeteer-core/lib/esm/puppeteer/puppeteer-core.js');
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ['--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
});
try {
  const tab = await browser.newPage();
  await tab.setViewport({ width: 1200, height: 900 });
  const said = [];
  tab.on('console', (message) => said.push(message.text()));
  tab.on('pageerror', (error) => said.push(String(error)));
  await tab.goto(`http://127.0.0.1:${server.address().port}/`);
  try {
    await tab.waitForFunction('window.drawn === true', { timeout: 60000 });
  } catch (error) {
    console.error(said.join('\n'));
    throw error;
  }
  const found = await tab.evaluate('window.faults');
  await tab.screenshot({ path: picture });
  console.log(`maplibre: drawn at zoom ${(await tab.evaluate('window.zoom')).toFixed(2)}`);
  if (found.length > 0) throw new Error(found.join('\n'));
} finally {
  await browser.close();
  server.close();
}
