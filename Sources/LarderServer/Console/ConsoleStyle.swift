/// The console's style. The colours of charts are classes, because the page's policy allows no `style` attributes.
let consoleStyle = #"""
    :root {
      color-scheme: light dark;
      --page: #f6f7f9;
      --panel: #ffffff;
      --text: #1b2430;
      --quiet: #55606e;
      --line: #d5dae1;
      --blue: #1d5fd0;
      --green: #0a7d55;
      --orange: #b45309;
      --purple: #7c3aed;
      --gray: #aab3bf;
      --bad: #b3261e;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #11161d;
        --panel: #1a212b;
        --text: #e6eaf0;
        --quiet: #a0abb9;
        --line: #36414f;
        --blue: #6ea8ff;
        --green: #4ccf9b;
        --orange: #f2a65a;
        --purple: #bb9af7;
        --gray: #5d6978;
        --bad: #ff8a80;
      }
    }
    * { box-sizing: border-box; }
    body {
      margin: 0;
      background: var(--page);
      color: var(--text);
      font: 15px/1.45 system-ui, sans-serif;
      font-variant-numeric: tabular-nums;
    }
    header, main, footer { max-width: 1240px; margin: 0 auto; padding: 0 16px; }
    header { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 20px; padding-top: 12px; }
    header p, header h1 { margin: 0; }
    header #state { flex: 1 1 auto; }
    h1 { font-size: 1.35rem; }
    h1 span { color: var(--quiet); font-size: 1rem; font-weight: 400; }
    h2 { font-size: 1.05rem; margin: 0 0 8px; }
    h3 { font-size: .95rem; margin: 16px 0 6px; }
    main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 14px; padding-top: 14px; }
    section, #figures { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 14px; }
    @media (min-width: 900px) {
      main { grid-template-columns: repeat(2, minmax(0, 1fr)); }
      #figures, .across { grid-column: 1 / -1; }
      .beside { grid-column: 2; grid-row: 3 / span 3; }
    }
    a { color: var(--blue); }
    :focus-visible { outline: 3px solid var(--blue); outline-offset: 2px; }
    .note { margin: 0 0 8px; color: var(--quiet); font-size: .87rem; }
    .note:empty { display: none; }
    .bad { color: var(--bad); font-weight: 600; }
    .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

    #figures { margin: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 12px; }
    #figures dt { color: var(--quiet); font-size: .87rem; }
    #figures dd { margin: 0; font-size: 1.3rem; font-weight: 600; overflow-wrap: anywhere; }

    form { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
    input, button, select {
      font: inherit; color: inherit; background: var(--page);
      border: 1px solid var(--quiet); border-radius: 6px; padding: 6px 10px; min-height: 36px; max-width: 100%;
    }
    input { flex: 1 1 160px; min-width: 0; }
    button { background: var(--blue); border-color: var(--blue); color: var(--panel); font-weight: 600; }
    select { max-width: 240px; }
    #found:not(:empty) { margin-top: 12px; }
    #found p { margin: 0 0 6px; overflow-wrap: anywhere; }
    #found dl { margin: 0; display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; }
    #found dt { color: var(--quiet); }
    #found dd { margin: 0; overflow-wrap: anywhere; }
    #listed { margin: 0; padding: 0; list-style: none; columns: 22rem; }
    #listed:not(:empty) { margin: 8px 0; }
    #listed li { overflow-wrap: anywhere; }
    #listed-note { margin: 8px 0 0; }
    #hot-keys td:first-child, #prefixes td:first-child { overflow-wrap: anywhere; white-space: pre-wrap; }
    code { font-family: ui-monospace, monospace; white-space: pre-wrap; }

    .wide { overflow-x: auto; position: relative; }
    table { border-collapse: collapse; width: 100%; font-size: .93rem; }
    th, td { text-align: right; padding: 4px 10px 4px 0; white-space: nowrap; border-bottom: 1px solid var(--line); }
    th { color: var(--quiet); font-weight: 500; }
    th:first-child, td:first-child, #clients th, #clients td { text-align: left; }
    #caches th:last-child, #caches td:last-child { text-align: left; padding-left: 14px; }
    tr.chosen td:first-child { font-weight: 700; }
    #buckets td:first-child { white-space: normal; min-width: 7em; }
    #buckets td:last-child, #buckets th:last-child { width: 35%; min-width: 80px; padding-right: 0; }

    @media (max-width: 480px) {
      header, main, footer { padding-left: 8px; padding-right: 8px; }
      section, #figures { padding: 12px 10px; }
      table { font-size: .87rem; }
      th, td { padding-right: 8px; }
    }

    svg { display: block; width: 100%; overflow: visible; }
    .chart { position: relative; }
    .chart svg { height: 130px; }
    .bars svg { height: 84px; }
    .stack svg { height: 22px; }
    .scale { display: flex; justify-content: space-between; gap: 8px; color: var(--quiet); font-size: .82rem; }
    .legend {
      list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0; font-size: .87rem;
    }
    .legend svg { display: inline-block; width: 22px; height: 12px; margin-right: 6px; vertical-align: -1px; }
    .axis { stroke: var(--line); stroke-width: 1; fill: none; vector-effect: non-scaling-stroke; }
    .series { fill: none; stroke-width: 2; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
    .dashed { stroke-dasharray: 6 3; }
    .dotted { stroke-dasharray: 2 3; }
    .blue { fill: var(--blue); stroke: var(--blue); }
    .green { fill: var(--green); stroke: var(--green); }
    .orange { fill: var(--orange); stroke: var(--orange); }
    .purple { fill: var(--purple); stroke: var(--purple); }
    .gray { fill: var(--gray); stroke: var(--gray); }
    .empty { fill: var(--page); stroke: var(--line); }
    .quiet { fill: var(--quiet); stroke: var(--quiet); }
    .bad-fill { fill: var(--bad); stroke: var(--bad); }
    .series.blue, .series.green, .series.orange { fill: none; }
    rect { stroke-width: 0; }
    rect.empty { stroke-width: 1; vector-effect: non-scaling-stroke; }
    footer { padding: 16px; }
    footer nav { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: .9rem; }

    """#
