/**
 * The embedded land: the whole world in one coarse file while the map is zoomed out,
 * and finer squares of 30 degrees when it is closer, each loaded once, when in view.
 */
const SQUARE_DEG = 30;
const FINE_FROM_ZOOM = 3;
// Fetch the squares a little before they are shown, so that the ground does not blink.
const FETCH_FROM_ZOOM = 2.5;

function squaresInView(bounds) {
  const names = new Set();
  const row = (latitude) => Math.min(5, Math.max(0, Math.floor((latitude + 90) / SQUARE_DEG)));
  const firstColumn = Math.floor((bounds.getWest() + 180) / SQUARE_DEG);
  const lastColumn = Math.floor((bounds.getEast() + 180) / SQUARE_DEG);
  for (let column = firstColumn; column <= lastColumn; column += 1) {
    for (let y = row(bounds.getSouth()); y <= row(bounds.getNorth()); y += 1) {
      names.add(`${((column % 12) + 12) % 12}-${y}`);
    }
  }
  return names;
}

// Squares overlap a little: all surfaces lie below this empty layer and all borders above it,
// or the surface of one square would hide the borders of the next.
const BETWEEN = { id: 'hdxjobs-land-between', type: 'background', paint: { 'background-opacity': 0 } };

/** Put land under the layer `below` now and whenever the view moves; answers the style layers in use. */
export function addLand(map, { folder, version, below, landLayers, scheme }) {
  const shown = new Map();
  map.addLayer(BETWEEN, below);

  function add(name, zooms) {
    if (shown.has(name)) return;
    const source = `hdxjobs-land-${name}`;
    shown.set(name, { source, zooms });
    map.addSource(source, { type: 'geojson', data: `${folder}${name}.json${version}`, tolerance: 0.5 });
    const [surface, borders] = landLayers(source, scheme(), zooms);
    map.addLayer(surface, BETWEEN.id);
    map.addLayer(borders, below);
  }

  function update() {
    if (map.getZoom() < FINE_FROM_ZOOM) add('world', { maxzoom: FINE_FROM_ZOOM });
    if (map.getZoom() < FETCH_FROM_ZOOM) return;
    for (const name of squaresInView(map.getBounds())) add(name, { minzoom: FINE_FROM_ZOOM });
  }

  map.on('moveend', update);
  update();
  return () => [...shown.values()].flatMap(({ source, zooms }) => landLayers(source, scheme(), zooms));
}
