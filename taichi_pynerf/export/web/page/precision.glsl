precision highp float;
precision highp int;
precision highp sampler2D;
precision highp isampler2DArray;
precision highp usampler2DArray;
