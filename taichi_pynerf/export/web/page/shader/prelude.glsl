#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp isampler2DArray;
precision highp usampler2DArray;

// What WGSL has of its own: the second where the last is true.
int select(int no, int yes, bool which) {
  return which ? yes : no;
}

float select(float no, float yes, bool which) {
  return which ? yes : no;
}

vec3 select(vec3 no, vec3 yes, bool which) {
  return which ? yes : no;
}

vec3 select(vec3 no, vec3 yes, bvec3 which) {
  return mix(no, yes, which);
}
