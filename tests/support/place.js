// A thousand random steps on a list: whatever comes, the row at the top edge stays where it is. Told the folder
// of the page's modules and a seed; gives what moved.
async (folder, seed) => {
  const { List } = await import(`${folder}vlist.js`);
  const { Rows } = await import(`${folder}rows.js`);
  let state = seed;
  const random = (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  const rows = new Rows();
  const list = new List('rows', {
    make: () => Object.assign(document.createElement('div'), { className: 'row' }),
    draw: (node, row) => { node.textContent = row.id; },
    find: (row) => rows.find(row),
  });
  const host = document.createElement('div');
  Object.assign(host.style, { position: 'fixed', inset: '0 auto auto 0', width: '600px', height: '400px', display: 'flex' });
  host.append(list.node);
  document.body.append(host);
  await new Promise(requestAnimationFrame);
  list.resized();
  const batch = () => Array.from({ length: 1 + random(40) }, () => {
    const t = String(1_000_000_000_000_000_000n + BigInt(random(100_000)));
    return { t, id: `${t}-${random(9)}` };
  });
  const panel = () => {
    const node = document.createElement('div');
    node.className = 'panel';
    node.style.height = `${20 + random(200)}px`;
    return node;
  };
  const steps = [
    () => list.keepPlace(() => list.layout(rows.add(batch()))),
    () => list.keepPlace(() => list.layout(rows.add(batch()))),
    () => list.remeasure(22, random(2) ? null : (row) => 22 * (1 + (Number(row.id.at(-1)) % 4))),
    () => list.open(random(rows.list.length), panel()),
    () => list.close(),
  ];
  rows.add(batch());
  list.reset(rows.list);
  const moved = [];
  for (let step = 0; step < 1000; step += 1) {
    list.setTop(random(Math.max(1, Math.floor(list.total()))));
    const top = list.rows[list.indexAt(list.top)];
    const inPanel = list.openRow === top && list.top - list.offset(list.openAt) >= list.tallOf(list.openAt);
    const y = list.offset(rows.find(top)) - list.top;
    const which = random(steps.length);
    steps[which]();
    const now = list.offset(rows.find(top)) - list.top;
    const atAnEdge = list.top === 0 || list.top >= list.total() - list.view - 1;
    if (Math.abs(now - y) > 0.5 && !atAnEdge && !inPanel) moved.push([step, which, y, now]);
    if (list.openRow && list.openAt !== rows.find(list.openRow)) moved.push([step, 'panel', list.openAt]);
    if (step % 50) continue;
    await new Promise(requestAnimationFrame);
    list.paint();
    const edge = host.getBoundingClientRect().top;
    for (const node of list.body.querySelectorAll('.row:not([hidden])')) {
      const wanted = list.offset(node.index) - list.top;
      const seen = node.getBoundingClientRect().top - edge;
      if (Math.abs(wanted - seen) > 1 || list.rows[node.index].id !== node.textContent) moved.push([step, 'drawn', wanted, seen]);
    }
  }
  host.remove();
  list.destroy();
  return { moved: moved.slice(0, 5), rows: rows.list.length };
}
